# SPDX-License-Identifier: MIT
"""The binding, and by it the interface: what another language can reach of libsinter-cache, and
with its own threads, forks and exceptions around it. Needs python3 alone."""
import errno
import gc
import os
import threading
import unittest

import sinter_cache
from sinter_cache import Cache


class AsADict(unittest.TestCase):
    def setUp(self):
        self.cache = Cache(8 << 20, wait_ms=60000)
        self.addCleanup(self.cache.close)

    def test_items(self):
        self.cache['a'] = b'1'
        self.cache[b'b\0c'] = b'\0\0'
        self.cache['empty'] = b''
        self.assertEqual(dict(self.cache), {b'a': b'1', b'b\0c': b'\0\0', b'empty': b''})
        self.assertEqual(len(self.cache), 3)
        del self.cache['a']
        self.assertNotIn('a', self.cache)
        self.assertIn('empty', self.cache)
        self.assertIsNone(self.cache.get('a'))
        self.assertEqual(self.cache.pop('empty'), b'')
        with self.assertRaises(KeyError):
            del self.cache['a']
        self.cache.update({'x': b'1', 'y': b'2'})
        self.cache.clear()
        self.assertEqual(list(self.cache), [])

    def test_large_value(self):
        value = bytes(range(256)) * 4096
        self.cache['large'] = value
        self.cache.append('large', b'end')
        self.cache.prepend('large', b'begin')
        self.assertEqual(self.cache['large'], b'begin' + value + b'end')

    def test_conditions(self):
        self.assertTrue(self.cache.add('k', b'1', flags=7))
        self.assertFalse(self.cache.add('k', b'2'))
        value, info = self.cache.get_with_info('k')
        self.assertEqual((value, info.flags, info.ttl_ms), (b'1', 7, 0))
        self.assertTrue(self.cache.cas('k', b'3', info.cas))
        self.assertFalse(self.cache.cas('k', b'4', info.cas))
        self.assertEqual(self.cache['k'], b'3')
        with self.assertRaises(KeyError):
            self.cache.replace('none', b'')
        self.assertEqual(self.cache.incr('k', 7), 10)
        self.assertEqual(self.cache.decr('k', 11), 0)
        self.cache['k'] = b'word'
        with self.assertRaises(sinter_cache.Error) as raised:
            self.cache.incr('k')
        self.assertEqual(raised.exception.errno, errno.EDOM)

    def test_refusals(self):
        for key in (b'', b'k' * 1025):
            with self.assertRaises(sinter_cache.Error) as raised:
                self.cache[key] = b''
            self.assertEqual(raised.exception.errno, errno.EINVAL)
        with self.assertRaises(sinter_cache.Error) as raised:
            self.cache['big'] = bytes(9 << 20)
        self.assertEqual(raised.exception.errno, errno.E2BIG)
        with self.assertRaises(sinter_cache.Error):
            Cache(1000)
        with self.assertRaises(TypeError):
            self.cache['k'] = 1.5

    def test_closed(self):
        self.cache.close()
        self.cache.close()
        with self.assertRaises(ValueError):
            len(self.cache)


class AsACache(unittest.TestCase):
    def test_limit(self):
        """More is set than the limit holds: what leaves is told, and what is there is whole."""
        left = []
        with Cache(8 << 20, wait_ms=60000, evicted=lambda *item: left.append(item)) as cache:
            for i in range(20000):
                cache['key %d' % i] = b'%d' % i * 200
            stats = cache.stats()
            self.assertLessEqual(stats['held_bytes'], stats['limit_bytes'])
            self.assertEqual(len(left), stats['evicted'] + stats['crowded'])
            self.assertEqual(len(cache) + len(left), 20000)
            for key, value, _ in left:
                self.assertEqual(value, key[4:] * 200)
            for key, value in cache.items():
                self.assertEqual(value, key[4:] * 200)

    def test_time_to_live(self):
        now = [1000]
        with Cache(8 << 20, clock=lambda: now[0]) as cache:
            cache.set('short', b'1', ttl=1)
            cache.set('long', b'2', ttl=1)
            cache.touch('long', ttl=100)
            now[0] += 2000
            self.assertNotIn('short', cache)
            self.assertEqual(cache.get_with_info('long')[1].ttl_ms, 98000)
            cache.configure('limit_bytes', '16M')
            self.assertEqual(cache.stats()['limit_bytes'], 16 << 20)

    def test_threads(self):
        with Cache(8 << 20, wait_ms=60000) as cache:
            def work(mine):
                for i in range(500):
                    cache['%d %d' % (mine, i)] = b'%d' % i
                    self.assertEqual(cache['%d %d' % (mine, i)], b'%d' % i)
                    cache.add('sum', b'0')
                    cache.incr('sum')
            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(cache['sum'], b'2000')

    def test_fork(self):
        """A child has the items of its parent, and none that the parent sets later."""
        with Cache(8 << 20, wait_ms=60000) as cache:
            cache['k'] = b'parent'
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    whole = cache['k'] == b'parent'
                    cache['k'] = b'child'
                    status = 0 if whole and cache['k'] == b'child' else 1
                finally:
                    os._exit(status)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual(cache['k'], b'parent')
            cache['k'] = b'later'
            self.assertEqual(cache['k'], b'later')

    def test_callback_that_writes(self):
        """What leaves one cache goes into another, and that callback belongs to the cache alone."""
        with Cache(8 << 20, wait_ms=60000) as second:
            def evicted(key, value, _):
                second[key] = value
            with Cache(8 << 20, wait_ms=60000, evicted=evicted) as first:
                del evicted
                gc.collect()
                for i in range(6000):
                    first['%d' % i] = bytes(2000)
                self.assertEqual(len(first) + len(second), 6000)

    def test_dropped(self):
        """A cache that nobody has any more is ended."""
        cache = Cache(8 << 20, wait_ms=60000)
        self.assertIn(cache, set(sinter_cache._caches))
        del cache
        gc.collect()
        self.assertEqual(set(sinter_cache._caches), set())


if __name__ == '__main__':
    unittest.main()
