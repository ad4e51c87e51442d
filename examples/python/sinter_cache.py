# SPDX-License-Identifier: MIT
"""libsinter-cache from Python, by ctypes: a cache that is used like a dict.

    import sinter_cache

    with sinter_cache.Cache(limit_bytes=64 << 20) as cache:
        cache['page:1'] = b'<html>'
        cache.set('page:2', b'<html>', ttl=60)
        cache.get('page:1')               # b'<html>', or None when it is gone
        'page:3' in cache, len(cache), list(cache)
        del cache['page:1']

Keys are bytes, or str (UTF-8); values are bytes. An item may be gone at any time: it is a cache.
Any number of threads may use one; calls give Python's other threads the processor. Nobody
registers a thread, as the flavour is liburcu-bp. Forks are prepared for. What a call promises
stands in sinter/cache.h, under the name sinter_cache_NAME.
"""
import atexit
import collections.abc
import ctypes
import errno
import json
import os
import weakref

VERSION = (0, 2)  # of the header that this was written for: the library refuses another

_lib = ctypes.CDLL(os.environ.get('SINTER_CACHE_LIBRARY', 'libsinter-cache.so.%d.%d' % VERSION),
                   use_errno=True)
_urcu = ctypes.CDLL('liburcu-bp.so.8')
_free = ctypes.CDLL(None).free
_free.argtypes = [ctypes.c_void_p]
_free.restype = None


class Info(ctypes.Structure):
    """struct sinter_cache_info."""
    _fields_ = [('size', ctypes.c_size_t), ('cas', ctypes.c_uint64), ('ttl_ms', ctypes.c_uint64),
                ('flags', ctypes.c_uint32), ('reserved', ctypes.c_uint32)]


class _View(ctypes.Structure):
    _fields_ = [('info', Info), ('key', ctypes.c_void_p), ('key_size', ctypes.c_size_t),
                ('data', ctypes.c_void_p), ('data_size', ctypes.c_size_t),
                ('reserved', ctypes.c_void_p * 2)]


_EVICTED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(_View), ctypes.c_int)
_ERROR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
_CLOCK = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)
_VISIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_View))
_WRITE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Options(ctypes.Structure):
    _fields_ = [('struct_size', ctypes.c_size_t), ('name', ctypes.c_char_p),
                ('limit_bytes', ctypes.c_uint64), ('limit_percent', ctypes.c_uint32),
                ('wait_ms', ctypes.c_uint32), ('favour', ctypes.c_int),
                ('sweep_percent', ctypes.c_uint32), ('hardened', ctypes.c_bool),
                ('evicted', _EVICTED), ('error', _ERROR), ('clock_ms', _CLOCK),
                ('opaque', ctypes.c_void_p), ('budget', ctypes.c_void_p),
                ('weight', ctypes.c_uint32)]


def _declare():
    cache, size, u32, u64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_uint64
    key = [cache, ctypes.c_char_p, size]
    value = key + [ctypes.c_char_p, size]
    info, number = ctypes.POINTER(Info), ctypes.POINTER(u64)
    for name, result, arguments in (
            ('options_init', int, [ctypes.POINTER(_Options), size]),
            ('create_version', cache, [ctypes.POINTER(_Options), ctypes.c_void_p, u32, u32]),
            ('destroy', int, [cache]),
            ('configure', int, [cache, ctypes.c_char_p, ctypes.c_char_p]),
            ('get', int, value + [info]),
            ('get_copy', cache, key + [info]),
            ('set', int, value + [u32, u64]),
            ('add', int, value + [u32, u64]),
            ('replace', int, value + [u32, u64]),
            ('cas', int, value + [u32, u64, u64]),
            ('append', int, value),
            ('prepend', int, value),
            ('incr', int, key + [u64, number]),
            ('decr', int, key + [u64, number]),
            ('touch', int, key + [u64]),
            ('delete', int, key + [u64]),
            ('clear', int, [cache]),
            ('walk', int, [cache, _VISIT, ctypes.c_void_p]),
            ('print', int, [cache, ctypes.c_int, _WRITE, ctypes.c_void_p]),
            ('items', u64, [cache]),
            ('sweep', ctypes.c_int64, [cache, u64]),
            ('before_fork', None, [cache]),
            ('after_fork_parent', None, [cache]),
            ('after_fork_child', None, [cache])):
        function = getattr(_lib, 'sinter_cache_' + name)
        function.restype = ctypes.c_int if result is int else result
        function.argtypes = arguments


_declare()


class Error(OSError):
    """What a call answered: errno is one of those that sinter/cache.h lists."""


def _check(result):
    if result < 0:
        raise Error(-result, os.strerror(-result))
    return result


def _bytes(data):
    return data.encode() if isinstance(data, str) else bytes(data)


def _key(key):
    key = _bytes(key)
    return key, len(key)


def _ms(ttl):
    """Milliseconds of a time to live in seconds; None: it does not expire."""
    return 0 if ttl is None else max(1, int(ttl * 1000))


class Cache(collections.abc.MutableMapping):
    """A cache of at most `limit_bytes` of memory, all that it needs included. What is not given is
    the library's default.

    evicted(key, value, reason): an item leaves unasked; reason is 'evicted', 'expired' or
    'crowded', and value None where it lies in several pieces. It runs in whichever thread.
    clock(): milliseconds that never go back, for times to live; the kernel's by itself."""

    REASONS = ('evicted', 'expired', 'crowded')
    _cache = None
    __eq__, __hash__ = object.__eq__, object.__hash__  # two caches are never the same

    def __init__(self, limit_bytes=None, name='python', wait_ms=None, evicted=None, clock=None):
        options = _Options()
        _check(_lib.sinter_cache_options_init(options, ctypes.sizeof(options)))
        options.name = name.encode()
        if limit_bytes is not None:
            options.limit_bytes = limit_bytes
        if wait_ms is not None:
            options.wait_ms = wait_ms
        if evicted:
            options.evicted = _EVICTED(self._tell(evicted))
        if clock:
            options.clock_ms = _CLOCK(lambda _: clock())
        self._callbacks = options.evicted, options.clock_ms  # live as long as the cache
        flavour = ctypes.addressof(ctypes.c_char.in_dll(_urcu, 'urcu_bp_flavor'))
        self._cache = _lib.sinter_cache_create_version(options, flavour, *VERSION)
        if not self._cache:
            raise Error(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _caches.add(self)

    @staticmethod
    def _tell(evicted):
        def told(_, view, reason):
            item = view.contents
            value = None
            if item.data_size == item.info.size:
                value = ctypes.string_at(item.data, item.data_size)
            evicted(ctypes.string_at(item.key, item.key_size), value, Cache.REASONS[reason])
        return told

    def _call(self, name, *arguments):
        if not self._cache:
            raise ValueError('the cache is closed')
        return getattr(_lib, 'sinter_cache_' + name)(self._cache, *arguments)

    def close(self):
        """Ends it. No other thread may use it any more."""
        if self._cache:
            _check(self._call('destroy'))
            self._cache = None
            _caches.discard(self)

    __del__ = close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- as a dict

    def __getitem__(self, key):
        return self.get_with_info(key)[0]

    def __setitem__(self, key, value):
        self.set(key, value)

    def __delitem__(self, key):
        self._found(self._call('delete', *_key(key), 0), key)

    def __contains__(self, key):
        result = self._call('get', *_key(key), None, 0, None)
        if result in (0, -errno.ENOSPC):
            return True
        return self._found(result, key, missing=False)

    def __len__(self):
        return self._call('items')

    def __iter__(self):
        """The keys that are there now; one that is set meanwhile may be among them."""
        keys = {}

        def visit(_, view):
            keys[ctypes.string_at(view.contents.key, view.contents.key_size)] = None
            return 0
        _check(self._call('walk', _VISIT(visit), None))
        return iter(keys)

    def clear(self):
        _check(self._call('clear'))

    @staticmethod
    def _found(result, key, missing=KeyError):
        if result == -errno.ENOENT:
            if missing is KeyError:
                raise KeyError(key)
            return missing
        return _check(result)

    # -- what a dict has not

    def get_with_info(self, key):
        """Value and Info. KeyError."""
        info = Info()
        copy = self._call('get_copy', *_key(key), info)
        if not copy:
            self._found(-ctypes.get_errno(), key)
        try:
            return ctypes.string_at(copy, info.size), info
        finally:
            _free(copy)

    def _store(self, name, key, value, flags, ttl, *more):
        value = _bytes(value)
        return self._call(name, *_key(key), value, len(value), flags, _ms(ttl), *more)

    def set(self, key, value, ttl=None, flags=0):
        _check(self._store('set', key, value, flags, ttl))

    def add(self, key, value, ttl=None, flags=0):
        """False: the key is there already."""
        result = self._store('add', key, value, flags, ttl)
        return result != -errno.EEXIST and _check(result) == 0

    def replace(self, key, value, ttl=None, flags=0):
        self._found(self._store('replace', key, value, flags, ttl), key)

    def cas(self, key, value, cas, ttl=None, flags=0):
        """Sets it if it was not written since Info.cas was `cas`; False: it was."""
        result = self._store('cas', key, value, flags, ttl, cas)
        return result != -errno.EEXIST and self._found(result, key) == 0

    def append(self, key, data):
        self._found(self._call('append', *_key(key), _bytes(data), len(_bytes(data))), key)

    def prepend(self, key, data):
        self._found(self._call('prepend', *_key(key), _bytes(data), len(_bytes(data))), key)

    def incr(self, key, delta=1):
        number = ctypes.c_uint64()
        self._found(self._call('incr', *_key(key), delta, number), key)
        return number.value

    def decr(self, key, delta=1):
        number = ctypes.c_uint64()
        self._found(self._call('decr', *_key(key), delta, number), key)
        return number.value

    def touch(self, key, ttl=None):
        self._found(self._call('touch', *_key(key), _ms(ttl)), key)

    def configure(self, name, value):
        _check(self._call('configure', name.encode(), str(value).encode()))

    def sweep(self, buckets=1 << 32):
        """Frees what has expired; how many items that were."""
        return _check(self._call('sweep', buckets))

    def stats(self):
        text = []
        write = _WRITE(lambda _, data, size: text.append(ctypes.string_at(data, size)))
        _check(self._call('print', 1, write, None))
        return json.loads(b''.join(text))


_caches = weakref.WeakSet()
_forking = []


def _close_all():
    for cache in list(_caches):
        cache.close()


def _before_fork():
    _urcu.urcu_bp_call_rcu_before_fork()
    _forking.extend(_caches)
    for cache in _forking:
        cache._call('before_fork')
    _urcu.urcu_bp_before_fork()


def _after_fork(where):
    def hook():
        getattr(_urcu, 'urcu_bp_after_fork_' + where)()
        while _forking:
            _forking.pop()._call('after_fork_' + where)
        getattr(_urcu, 'urcu_bp_call_rcu_after_fork_' + where)()
    return hook


atexit.register(_close_all)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork('parent'),
                    after_in_child=_after_fork('child'))
