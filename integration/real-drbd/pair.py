"""A pair of nodes under test: what it ought to hold, and what is checked after everything that happens to it."""
import contextlib, hashlib, random, re, threading, time
from concurrent.futures import ThreadPoolExecutor

from guests import LabError

UP = 'cs:Connected .*ds:UpToDate/UpToDate'
AWAY = 'cs:(Unconnected|Timeout|BrokenPipe|NetworkFailure|ProtocolError|TearDown|WFConnection|Disconnecting|StandAlone)'
ALONE = 'cs:(StandAlone|WFConnection)'
RESYNC = r'Began resync as Sync(?:Source|Target) \(will sync (\d+) KB'
BLOCK = 4096   # what one bit of the bitmap stands for

# What a kernel says when its peer is not what it takes it for, whatever the level; beside that nothing that is a
# warning or worse is expected, unless a scenario says so.
SURPRISE = re.compile(r'ASSERT|\bBUG\b|Call Trace|[Uu]nexpected|\bBAD\b|[Pp]rotocol ?[Ee]rror|magic|[Ii]nvalid |'
                      r'mismatch|out of order|negative|Remote failed|LOGIC|FIXME|digest')
# What it says when it is broken itself, whoever says it.
FAULT = re.compile(r'\bBUG\b|Call Trace|\bOops\b|blocked for more than')
# What it warns of in the ordinary course of things.
ORDINARY = (r'initial packet \w crossed', r'Error receiving initial packet', r'connect failed, err',
            r'Discarding network configuration', r'Forced to consider local data as UpToDate',
            r'Considerable difference in lower level device sizes',
            # An order of ours in the midst of a change of its own, and the two lines that go with it.
            r'State change failed: (In transient state|Need a connection)', r' mask = 0x', r' old_conn:')


def blocks(writes):
    """The numbers of the blocks that these writes touch."""
    return {block for at, data in writes for block in range(at // BLOCK, (at + len(data) - 1) // BLOCK + 1)}


class Pair:
    """A kernel and its peer, both known to one another, and the bytes that the replicated volume must hold."""

    def __init__(self, kernel, peer, report, protocol, seed):
        self.kernel, self.peer, self.report, self.protocol = kernel, peer, report, protocol
        self.nodes, self.random = (kernel, peer), random.Random(seed)
        self.pool, self.size, self.image, self.expected = ThreadPoolExecutor(8), 0, bytearray(), []
        self.ordinary = ORDINARY
        # Blocks of the newest write, and of the newest one before the nodes parted.
        self.newest, self.unsettled = set(), set()

    def other(self, node): return self.nodes[node is self.kernel]

    # --- on both at once

    def each(self, do):
        """`do(node)` on both at the same time; the results."""
        return [task.result() for task in [self.pool.submit(do, node) for node in self.nodes]]

    def both(self, regex, timeout=40):
        """Until the state matches on both; how long each took, for people."""
        took = self.each(lambda node: node.wait(regex, timeout))
        return ', '.join('%s %.2f s' % (node.name, seconds) for node, seconds in zip(self.nodes, took))

    def either(self, regex, timeout=40):
        """The node whose state matches first."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for node in self.nodes:
                if re.search(regex, 'cs:%(cs)s ro:%(ro)s ds:%(ds)s' % node.state()):
                    return node
            time.sleep(0.05)
        raise LabError('neither node is /%s/ in %d s: %s' % (regex, timeout, [node.state() for node in self.nodes]))

    def up(self, within=40):
        """Connected, and both disks up to date."""
        with self.report.timed('   connected, up to date') as t:
            t.note = self.both(UP, within)

    def configure(self, protocol=None, own={}, **net):
        """Both come up anew with these options; `own` are drx-bsr's alone."""
        self.each(lambda node: node.down())
        for node in self.nodes:
            node.configure(protocol or self.protocol, **net, **(own if node is self.peer else {}))
            node.up()
        self.up()

    def apart(self, by):
        """`by` disconnects in order."""
        self.unsettled = self.newest
        by.disconnect()
        self.both(ALONE, 20)

    def verify(self, by):
        """Compares both disks; how many bytes differ. Each node ends it by its own count."""
        found = by.verify()
        self.both('cs:Connected', 20)
        return found

    # --- what the volume holds

    def some_writes(self, count=16):
        """Of 512 bytes to 1 MiB, anywhere, one like another on a logarithmic scale."""
        found = []
        for _ in range(count):
            sectors = round(2 ** self.random.uniform(0, 11))
            at = self.random.randrange(self.size // 512 - sectors + 1) * 512
            found.append((at, self.random.randbytes(sectors * 512)))
        return found

    def apply(self, writes):
        for at, data in writes:
            self.image[at:at + len(data)] = data

    def write(self, node, count=16):
        """Writes on `node`, one after the other; the blocks they touched."""
        writes = self.some_writes(count)
        node.write(writes)
        self.apply(writes)
        self.newest = blocks(writes[-2:])
        return blocks(writes)

    def write_burst(self, node, mib=2):
        at = self.random.randrange((self.size >> 20) - mib) << 20
        data = self.random.randbytes(mib << 20)
        node.write_burst(at, data)
        self.apply([(at, data)])
        self.newest = blocks([(at, data)])

    @contextlib.contextmanager
    def primary(self, node):
        """With `node` as primary."""
        node.wait(r'ro:\w+/(Secondary|Unknown)', 10)   # it has heard that the other one is primary no more
        node.primary()
        yield node
        node.secondary()

    def same(self, what, within=None):
        """Both disks hold what was written, `within` so many seconds: with protocol A some of it may be under way."""
        end = time.monotonic() + (within if within is not None else 0 if self.protocol == 'C' else 10)
        while True:
            contents = [(node, node.content(self.size)) for node in self.nodes]
            wrong = [(node, content) for node, content in contents if content != self.image]
            if not wrong or time.monotonic() > end:
                break
            time.sleep(0.1)
        note = hashlib.md5(self.image).hexdigest() if not wrong else '; '.join(
            self.difference(node, content) for node, content in wrong)
        self.report.check(not wrong, 'identical ' + what, note)
        if wrong:
            self.image = bytearray(self.kernel.content(self.size))   # what comes next is judged for itself

    def difference(self, node, content):
        """Where this content of its disk is not what it must be; for people, empty if nowhere."""
        differ = [at for at in range(0, self.size, 512) if content[at:at + 512] != self.image[at:at + 512]]
        return differ and '%s: %d sectors from offset %d to %d' % (node.name, len(differ), differ[0], differ[-1]) or ''

    def reads(self, node, what):
        """The whole volume, read through `node`."""
        self.report.check(node.read(0, self.size) == self.image, '%s reads %s' % (node.name, what))

    # --- what the kernel says

    def resynced(self, mark, changed, what):
        """All resyncs since then together were of these blocks, as the kernel counted. Perhaps also of those of the
        newest write before the nodes parted: who loses the other one before its last barrier is acknowledged counts
        them in."""
        said = self.kernel.said(RESYNC, mark)
        count, most = sum(map(int, said)) * 1024 // BLOCK, len(set(changed) | self.unsettled)
        self.report.check(len(changed) <= count <= most, 'resync of what differed: ' + what,
                          '%s KiB, %d expected' % (' + '.join(said) or 0, len(changed) * BLOCK >> 10))

    def expect(self, *regexes):
        """Kernel messages that are no surprise in the present scenario."""
        self.expected += regexes

    def surprises(self):
        """Warnings, errors and suspicious words of the kernel under test since the last time, none of them expected."""
        found, self.expected = self.surprises_of(self.kernel), []
        return found

    def surprises_of(self, node):
        """The same of one node with a kernel; what is expected stays so."""
        found = []
        for line in node.guest.sh('dmesg -r -c').splitlines():
            m = re.match(r'<(\d+)>(\[.*?\] )?(.*)', line)
            if m and (FAULT.search(m.group(3)) or 'drbd' in m.group(3) and
                      (int(m.group(1)) & 7 <= 4 or SURPRISE.search(m.group(3)))):
                if not any(re.search(regex, m.group(3)) for regex in (*self.ordinary, *self.expected)):
                    found.append(m.group(3))
        return found


class Writer(threading.Thread):
    """Writes to a node, one write after the other, until it is told to stop, has written the `most`, or fails."""

    def __init__(self, pair, node, most=1 << 30):
        super().__init__(daemon=True)
        self.pair, self.node, self.most = pair, node, most
        self.acknowledged, self.uncertain, self.error, self.stopping = 0, [], None, threading.Event()
        self.touched = set()   # the blocks of all that was begun
        self.start()

    def run(self):
        while not self.stopping.is_set() and self.acknowledged < self.most:
            writes = self.pair.some_writes(1)
            self.uncertain = writes
            self.touched |= blocks(writes)
            try:
                self.node.write(writes, 60)
            except (LabError, OSError) as error:
                self.error = error
                return
            self.pair.apply(writes)
            self.uncertain = []
            self.acknowledged += len(writes)

    def wait(self, count, timeout=30):
        """Until so many more were acknowledged."""
        end, least = time.monotonic() + timeout, self.acknowledged + count
        while self.acknowledged < least:
            if self.error or time.monotonic() > end:
                raise LabError('%s: %d writes acknowledged, %d expected: %s'
                               % (self.node.name, self.acknowledged, least, self.error))
            time.sleep(0.01)

    def stop(self):
        """No more; what was begun is finished."""
        self.stopping.set()
        self.join(90)
        if self.error:
            raise self.error

    def missing(self, survivor):
        """What of the acknowledged writes is not on the other node's disk; for people, empty if nothing."""
        content = bytearray(survivor.content(self.pair.size))
        for at, data in self.uncertain:
            content[at:at + len(data)] = self.pair.image[at:at + len(data)]
        return self.pair.difference(survivor, content)

    def died(self):
        """It failed with its node. Adopts whatever became of the write that was not acknowledged."""
        self.join(90)
        content = self.node.content(self.pair.size)
        for at, data in self.uncertain:
            self.pair.image[at:at + len(data)] = content[at:at + len(data)]
