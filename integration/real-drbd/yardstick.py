"""The list by which LINBIT tests its own proxy, each in the form it has there."""
import time

from guests import LabError
from pair import BLOCK, UP, blocks
from relayed import DISK, LOST, MIB, NET


def connect(pair):
    """Up on both: they are connected"""
    for options in ({**NET, 'connect-int': 3}, NET):
        pair.each(lambda node: node.down())
        for node in pair.nodes:
            node.configure(pair.protocol, **options)
        with pair.report.timed('   up on both, connect-int %d: connected' % options['connect-int']) as t:
            pair.each(lambda node: node.up())
            t.note = pair.both(UP, 60)
        for node in pair.nodes:
            agreed = node.state().get('proto')
            pair.report.check(agreed == pair.protocol, '%s: protocol %s' % (node.name, pair.protocol), agreed)


def initial_sync(pair):
    """Two new disks with different contents: all of one is copied to the other"""
    pair.each(lambda node: node.down())
    for node in pair.nodes:
        node.create(pair.random.randbytes(DISK))
        node.up()
    pair.both('cs:Connected .*ds:Inconsistent/Inconsistent', 60)
    pair.image, mark = bytearray(pair.kernel.content(pair.size)), pair.kernel.mark()
    with pair.report.timed('   primary --force, initial sync') as t:
        begin = time.monotonic()
        pair.kernel.primary(force=True)
        pair.both('ds:UpToDate/UpToDate', 120)
        t.note = '%.1f MiB/s' % (pair.size / MIB / (time.monotonic() - begin))
    pair.resynced(mark, range(pair.size // BLOCK), 'everything')
    pair.same('after the initial sync')
    pair.kernel.secondary()


def initial_resync(pair):
    """10 MiB are written on one side, and verified on the other, whose disk is new"""
    for primary in pair.nodes:
        other = pair.other(primary)
        other.down()
        primary.wait(r'ro:\w+/Unknown', 20)
        with pair.report.timed('   10 MiB written on %s, alone' % primary.name):
            primary.primary()
            pair.write_burst(primary, 10)
            primary.secondary()
        mark = pair.kernel.mark()
        other.create(pair.random.randbytes(DISK))
        other.up()
        pair.back('%s is back' % other.name, 90)
        pair.resynced(mark, range(pair.size // BLOCK), 'everything')
        with pair.primary(other):
            pair.reads(other, 'what was written on ' + primary.name)


def misaligned_bio(pair):
    """Writes of odd lengths, aligned to 512 bytes and to nothing else"""
    for node in pair.nodes:
        with pair.primary(node):
            found = []
            for sectors in (1, 3, 5, 7, 9, 15, 17, 31, 63, 65, 127, 129, 255, 511, 1023, 2047):
                at = (pair.random.randrange((pair.size // 512 - sectors) // 2) * 2 + 1) * 512
                found.append((at, pair.random.randbytes(sectors * 512)))
            node.write(found)
            pair.apply(found)
            pair.newest = blocks(found[-2:])
            pair.same('after writes of odd lengths on ' + node.name)
            pair.reads(node, 'what it wrote')


def resize(pair):
    """The device grows while it is connected and in use"""
    before, grown = pair.size, DISK + 16 * MIB
    with pair.primary(pair.kernel):
        pair.write(pair.kernel, 4)
        pair.each(lambda node: node.guest.resize(grown))
        with pair.report.timed('   drbdadm resize, resynced') as t:
            pair.kernel.admin('resize r0', 60)
            t.note = pair.both(UP, 60)
        sizes = pair.each(lambda node: node.size())
        pair.report.check(len(set(sizes)) == 1 and sizes[0] >= before + 15 * MIB, 'both have grown by 16 MiB',
                          ' '.join('%d KiB' % (size >> 10) for size in (before, *sizes)))
        pair.size = sizes[0]
        # What is new holds what was on node1's disk there: DRBD's old metadata, for one.
        pair.image += pair.kernel.content(pair.size)[before:]
        pair.same('after the resize')
        across = [(before - 65536, pair.random.randbytes(131072)), (pair.size - 4096, pair.random.randbytes(4096))]
        pair.kernel.write(across)
        pair.apply(across)
        pair.write(pair.kernel, 8)
        pair.same('after writes into what is new')


def stress_al(pair):
    """Random 4 KiB writes over a device with more extents than the activity log has; none takes over 2 s"""
    pair.fresh(320 * MIB, 'al-extents 67;')
    with pair.primary(pair.kernel):
        before = int(pair.kernel.state()['al'])
        positions = pair.random.sample(range(pair.size // BLOCK), 4 * 120)
        begin = time.monotonic()
        jobs = []
        for n in range(4):
            some = positions[n * 120:(n + 1) * 120]
            jobs.append(pair.pool.submit(timed_writes, pair.kernel, some, pair.random.randbytes(len(some) * BLOCK)))
        took = []
        for task in jobs:
            written, each = task.result(120)
            pair.apply(written)
            took += each
        updates = int(pair.kernel.state()['al']) - before
        pair.newest = blocks([(at * BLOCK, b' ') for at in positions])
        pair.report.say('   %d writes' % len(took), time.monotonic() - begin, 'each %.0f ms, longest %.0f ms'
                        % (10 * sum(took) / len(took), 10 * max(took)))
        pair.report.check(max(took) <= 200, 'none took over 2 s', '%.2f s' % (max(took) / 100))
        pair.report.check(updates > 67, 'the activity log was too short for it', '%d updates' % updates)
    pair.same('after writes all over it')


def timed_writes(node, positions, data):
    """Writes one block after the other at these blocks; what was written, and how many 1/100 s each took as the guest
    saw it."""
    output = node.guest.sh(
        'set -e; for at in %s; do read a _ </proc/uptime; dd of=/dev/drbd0 bs=%d count=1 iflag=fullblock oflag=direct '
        'seek=$at conv=notrunc status=none; read b _ </proc/uptime; echo $a $b; done'
        % (' '.join(map(str, positions)), BLOCK), 110, data)
    took = [round((float(b) - float(a)) * 100) for a, b in (line.split() for line in output.splitlines())]
    if len(took) != len(positions):
        raise LabError('%s: %d of %d writes done: %s' % (node.name, len(took), len(positions), output[-200:]))
    return [(at * BLOCK, data[k * BLOCK:(k + 1) * BLOCK]) for k, at in enumerate(positions)], took


def stress_connect(pair, times=20):
    """20 times down and up on both at once"""
    pair.expect(r'Requested state change failed by peer: Concurrent state changes', *LOST)
    took = []
    for _ in range(times):
        pair.each(lambda node: node.down())
        begin = time.monotonic()
        pair.each(lambda node: node.up())
        pair.both(UP, 60)
        took.append(time.monotonic() - begin)
    pair.established()
    pair.report.say('   connected', sum(took) / times, 'mean; longest %.2f s' % max(took))


def switch_primaries(pair, times=40):
    """40 role changes, each after a write, which the next primary reads"""
    wrong, at, data, begin = [], 0, pair.image[:BLOCK], time.monotonic()
    for n in range(times):
        node = pair.nodes[n % 2]
        read = node.guest.run(
            'while ! grep -q ro:Secondary/Secondary /proc/drbd; do usleep 20000; done; drbdadm primary r0 && '
            'dd if=/dev/drbd0 bs=%d count=1 skip=%d iflag=direct status=none' % (BLOCK, at), 30)
        if read != (0, data):
            wrong.append('%d: status %d, %d bytes: %r' % (n, read[0], len(read[1]), bytes(read[1][:80])))
        at, data = pair.random.randrange(pair.size // BLOCK), pair.random.randbytes(BLOCK)
        node.guest.sh('dd of=/dev/drbd0 bs=%d count=1 iflag=fullblock oflag=direct seek=%d conv=notrunc status=none && '
                      'drbdadm secondary r0' % (BLOCK, at), 30, data)
        pair.apply([(at * BLOCK, data)])
        pair.newest = {at}
    pair.report.check(not wrong, '%d role changes, each read what the other one wrote' % times, '; '.join(wrong[:3]))
    pair.report.say('   each', (time.monotonic() - begin) / times)


def ahead_behind(pair):
    """Congestion at 10 KiB: three times into Ahead and back"""
    pair.options(on_congestion='pull-ahead', congestion_fill=10 << 10)
    with pair.primary(pair.kernel):
        for n in range(3):
            marks = {node: node.mark() for node in pair.nodes}
            pair.line.limit(128 << 10)
            pair.write_burst(pair.kernel, 1)
            pair.kernel.wait_said('-> Ahead', marks[pair.kernel], 15)
            pair.peer.wait_said('-> Behind', marks[pair.peer], 30)
            pair.write(pair.kernel, 3)
            pair.line.limit(0)
            pair.back('round %d: Ahead, and then' % (n + 1))
            pair.unparted(marks)
            pair.same('after round %d' % (n + 1))
    pair.options()
