#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes manual pages of the public headers' comments: pages.py OUT VERSION DATE HEADER...

One in section 3 for each group of functions (what stands below a line "/* ---- NAME ---- */"), with
links to it, and one in section 7 for each header's head. Status 1, and a line for each, where a
public function has no comment. A block of lines, up to an empty one, is a paragraph, or a list of
"- text", or an indented one of "name  text"; what is indented otherwise, or stands in columns, is
shown as it is. What is further in goes on with a list's last item."""
import pathlib
import re
import sys
import textwrap

PIECE = re.compile(r'^/\*(?:.|\n)*?\*/$|'  # a comment, or a declaration, with its body
                   r'^[^#/\s}](?:.|\n)*?(?:\{(?=\n)(?:.|\n)*?^\}.*;?|;(?: /\*.*\*/)?)$', re.M)
FUNCTION = re.compile(r'\b((?:handle|sinter_cache)_\w*[a-z0-9])\s*\(')
NOT_SHOWN = re.compile(r'\b(HANDLE_MUST_USE|HANDLE_CHECK|HANDLE_API|static inline|\w+_NO_FLAVOR)\b')
PREFIX = {'handle': 'handle', 'stats': 'handle_stats', 'cache': 'sinter_cache'}


def escape(text):
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return '\\&' + text if text[:1] in ('.', "'") else text


def lines_of(lines):
    return ''.join(escape(line) + '\n' for line in lines)


def fill(text):
    return lines_of(textwrap.wrap(text.strip(), 72, break_on_hyphens=False))


def items(lines):
    text = more = ''
    for line in lines:
        start = ''
        if line.strip().startswith('Fix: '):
            start = '.br\n'
        elif line.startswith('- '):
            start, line = '.IP \\(bu 2\n', line[2:]
        elif line[0] != ' ':
            name, line = line.split('  ', 1)
            start = f'.TP\n.I {escape(name)}\n'
        if start:
            text, more = text + fill(more) + start, ''
        more += ' ' + line.strip()
    return text + fill(more)


def block(text):
    lines, inner = text.split('\n'), textwrap.dedent(text).split('\n')
    if text.startswith('- '):
        return items(lines)
    if text[:2] == '  ' and all(map(re.compile(r' |[a-z]([\w, ]*\w)?  +\S+( \S+)*$').match, inner)):
        return items(inner)
    if any(line[0] == ' ' or re.search(r'\S   +\S', line) for line in lines):
        return '.PP\n.nf\n' + lines_of(lines) + '.fi\n'
    return '.PP\n' + fill(' '.join(lines))


def prose(text):
    return ''.join(map(block, re.split(r'\n\s*\n', text.strip('\n')))).removeprefix('.PP\n')


def comment_text(comment):
    lines = re.sub(r'^/\*\*?\n? *|\s*\*/$', '', comment).split('\n')
    return '\n'.join(re.sub(r'^ ?\* ?', '', line).rstrip() for line in lines).strip('\n')


def head_text(text):
    """What stands in column 0, in capitals, after the first paragraph is a heading."""
    first, *parts = re.split(r'\n(?=[A-Z]{2}[^\n]*\n\n)', text)
    text = '.SH DESCRIPTION\n' + prose(first)
    for part in parts:
        heading, body = part.split('\n', 1)
        text += f'.SH "{escape(heading)}"\n' + prose(textwrap.dedent(body.strip('\n')))
    return text


class Group:
    def __init__(self, header, title):
        self.header, self.title = header, title
        self.names, self.synopsis, self.body = [], '', ''

    def add(self, piece, comment, documented):
        """A declaration: a type is shown as it is, a function gets its text."""
        text = re.sub(r'\s+', ' ', NOT_SHOWN.sub('', piece.split('{')[0])).strip(' ;') + ';'
        name = FUNCTION.search(text)
        if not name and comment and re.match('typedef|struct|enum', piece):
            self.body += '.PP\n' * bool(self.body) + '.nf\n'
            self.body += lines_of((comment + '\n' + piece).split('\n')) + '.fi\n'
        elif name and not documented.get(name[1]):
            documented[name[1]] = bool(comment)
            self.names.append(name[1])
            wrapped = textwrap.wrap(text.replace('* ', '*'), 78, subsequent_indent='    ')
            self.synopsis += lines_of(wrapped)
            self.body += f'.SS {escape(name[1])}\n' + prose(comment_text(comment or '?'))


def read(path, groups, documented):
    """Adds a header's groups; its head's text."""
    groups.append(Group(path.stem, 'types'))
    pieces, comment = PIECE.findall(path.read_text().replace('extern "C" {', '')), None
    for piece in pieces[2:]:
        title = re.match(r'/\* -+ (.*?) -+ \*/$', piece)
        if title and title[1] != 'types':
            groups.append(Group(path.stem, title[1]))
        elif piece.startswith('/**'):
            comment = piece
        elif piece.startswith('/*\n') and groups[-1].title != 'types' and not groups[-1].body:
            groups[-1].body = prose(comment_text(piece))
        elif not piece.startswith('/*'):
            groups[-1].add(piece, comment, documented)
            comment = None
    return comment_text(pieces[1])


def main(out, version, date, *headers):
    def write(name, section, text):
        pathlib.Path(out, f'man{section}').mkdir(parents=True, exist_ok=True)
        pathlib.Path(out, f'man{section}', f'{name}.{section}').write_text(text)

    def page(name, section, summary, text):
        write(name, section, f'.\\" SPDX-License-Identifier: MIT\n.TH {escape(name.upper())} '
              f'{section} "{date}" "sinter {version}" Sinter\n.SH NAME\n{fill(summary)}{text}')

    groups, documented, links = [], {}, {'sinter': '', 'sinter-cache': ''}
    heads = {path.stem: read(path, groups, documented) for path in map(pathlib.Path, headers)}
    for group in groups:
        over = 'sinter-cache' if group.header == 'cache' else 'sinter'
        name, *others = group.names or [PREFIX[group.header] + '_types']
        page(name, 3, ', '.join([name] + others) + ' - ' + group.title,
             f'.SH SYNOPSIS\n.nf\n.B #include <sinter/{group.header}.h>\n{group.synopsis}.fi\n'
             f'.SH DESCRIPTION\n{group.body}.SH SEE ALSO\n.BR {escape(over)} (7)\n')
        for other in others:
            write(other, 3, f'.so man3/{name}.3\n')
        links[over] += f',\n.BR {escape(name)} (3)'
    for over, header in (('sinter', 'handle'), ('sinter-cache', 'cache')):
        summary = re.match(r'\S+ - (.*?)[.:]', heads[header].replace('\n', ' '))[1]
        page(over, 7, f'{over} - {summary}', head_text(heads[header]) +
             f'.SH SEE ALSO\n{links[over][2:]}\n.PP\nC++17: <sinter/{header}.hpp>, whose comments '
             'name the call of each member.\n')
    missing = [name for name in documented if not documented[name]]
    print(''.join(f'{name} has no comment\n' for name in missing), end='')
    return len(missing) > 0


sys.exit(main(*sys.argv[1:]))
