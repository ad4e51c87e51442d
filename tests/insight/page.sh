#!/bin/sh
# SPDX-License-Identifier: MIT
#
# page.sh SINTER HOARD CHROMIUM: the page of sinter map, in a browser. It draws without an error and
# loads nothing; its numbers are those of the maps; a pixel of a large object, of one in a full span
# and of memory that the kernel has is of the colour that the page says; the keys work. Exit status
# 77: there is no browser.
set -eu

sinter=$1 program=$2 chromium=$3
# shellcheck source=tests/insight/hoard.sh
. "${0%/*}/hoard.sh"

[ -x "$chromium" ] || skip 'there is no chromium'

start 20000 full
must_be_readable
"$sinter" record "$hoard" -i 20 -n 10 -o "$work/series"
"$sinter" map "$hoard" --lines -o "$work/before"
echo compact >&3
await 2
"$sinter" map "$hoard" --lines -o "$work/after"
stop
"$sinter" map "$work/before" "$work/after" --series "$work/series" -o "$work/page.html" \
    >"$work/said"

"$sinter" map "$work/before" --png -o "$work/map.png"
"$sinter" map "$work/before" --png -o - | cmp - "$work/map.png" || fail 'two pictures of one map'

# What the test asks of the page, which answers in attributes of its root.
picture=$(base64 -w 0 "$work/map.png")
printf '<script>const pictureBytes = "%s";</script>\n' "$picture" >"$work/asks"
cat >>"$work/asks" <<'END'
<script>
{
    const root = document.documentElement.dataset;
    const canvas = document.querySelector('#map > canvas'), scale = devicePixelRatio || 1;
    const at = block => {
        const x = block % layout.columns * layout.tile, y = Math.floor(block / layout.columns) *
            layout.tile;
        return [...canvas.getContext('2d').getImageData(x * scale, y * scale, 1, 1).data]
            .slice(0, 3).join();
    };
    const is = (block, name) => at(block) === channels(color(name)).join();
    const run = of => after.runs.find(of);
    const full = run(r => r.state === 'slots' && r.live === r.slots && r.pages[0] === 'f' &&
        !r.why);
    const gone = after.byBlock.findIndex((r, i) => i > 0 && !r);
    // The picture of the map alone: tiles of 13 pixels, as many in a line as in a column.
    const picture = new Image(), side = 13, columns = Math.ceil(Math.sqrt(before.high));
    picture.src = 'data:image/png;base64,' + pictureBytes;
    picture.decode().then(() => {
        const drawn = element('canvas', { width: picture.width, height: picture.height });
        const pen = drawn.getContext('2d');
        pen.drawImage(picture, 0, 0);
        const colorAt = block => [...pen.getImageData(block % columns * side,
            Math.floor(block / columns) * side, 1, 1).data].slice(0, 3).join();
        const shown = of => colorAt(before.runs.find(of).at);
        root.picture = picture.width >= columns * side && picture.width < columns * side + 2 &&
            picture.height === Math.ceil(before.high / columns) * side;
        root.live = shown(r => r.state === 'slots' && r.pages[0] === 'f') === '179,55,43';
        root.object = shown(r => r.state === 'large' && r.pages[0] === 'f') === '125,31,46';
    });
    root.large = is(run(r => r.state === 'large' && !r.why).at, '--large');
    root.full = is(full.at, '--live');
    root.kernel = gone < 0 || is(gone, '--kernel');
    const press = (on, key) => on.dispatchEvent(new KeyboardEvent('keydown',
        { key, bubbles: true, cancelable: true }));
    const grip = document.querySelector('.grip'), over = document.querySelector('.over');
    press(grip, 'Home');
    root.cut = over.style.width === '0px';
    press(grip, 'End');
    root.end = over.offsetWidth >= layout.width - 2;
    press($('map'), 'ArrowRight');
    root.block = $('block').textContent.startsWith('before, block 2');
    press(document.querySelector('tr[tabindex]'), 'Enter');
    root.chosen = chosen !== null;
    press(document, 'Escape');
    root.unchosen = chosen === null;
    root.plot = document.querySelector('#plot canvas') !== null;
    root.high = layout.high > 100;
}
</script>
END
sed "/<\/body>/e cat '$work/asks'" "$work/page.html" >"$work/asked.html"

tries=0
until timeout 120 "$chromium" --headless --no-sandbox --disable-gpu \
    --user-data-dir="$work/profile" --enable-logging=stderr --virtual-time-budget=5000 \
    --window-size=1240,1600 \
    --dump-dom "file://$work/asked.html" >"$work/dom" 2>"$work/log"; do
    tries=$((tries + 1))
    [ $tries -lt 3 ] || fail 'the browser does not end'
done
# The test itself reads pixels, of which the browser says that it could be faster.
! grep 'CONSOLE' "$work/log" | grep -v willReadFrequently >&2 || fail 'the page has said the above'

root=$(grep -o '<html[^>]*>' "$work/dom")
for what in large full kernel cut end block chosen unchosen plot high picture live object; do
    case $root in
    *"data-$what=\"true\""*) ;;
    *) fail "$what does not hold: $root" ;;
    esac
done

# The number of objects stands in the page as in the map, with commas.
objects=$(sed -n 's/.*"objects":\([0-9]*\).*/\1/p' "$work/before" |
    sed 's/\([0-9]\)\([0-9]\{3\}\)$/\1,\2/')
grep -q "<b>$objects</b>" "$work/dom" || fail "the page does not say $objects objects"
! grep -qE '(src|href)=' "$work/page.html" || fail 'the page loads something'
printf 'the page of %d bytes says %s objects\n' "$(stat -c %s "$work/page.html")" "$objects"
