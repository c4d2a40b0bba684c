"""What may happen to two kernels, their relays and the line: each scenario with writes while it happens."""
import contextlib, time

from guests import LabError
from pair import AWAY, UP, Writer, blocks
from relayed import LOST, MIB


@contextlib.contextmanager
def writing(pair):
    """node1 is primary and writes, one write after another; what was begun at the end is finished."""
    with pair.primary(pair.kernel):
        writer = Writer(pair, pair.kernel)
        try:
            writer.wait(3)
            yield writer
        finally:
            writer.stopping.set()
        writer.stop()


def until(what, done, timeout):
    """Waits for `done()` to be true; an error that says `what` did not come about."""
    end = time.monotonic() + timeout
    while not done():
        if time.monotonic() > end:
            raise LabError('not in %d s: %s' % (timeout, what))
        time.sleep(0.05)


def alone(pair, writer, count=3):
    """Some more writes, when both have noticed that they are alone; the blocks of these."""
    before, writer.touched = writer.touched, set()
    writer.wait(count)
    after, writer.touched = writer.touched, writer.touched | before
    return after - before


def writes(pair):
    """Writes of 512 bytes to 1 MiB anywhere, and many at once, by either node"""
    for node in pair.nodes:
        with pair.primary(node):
            with pair.report.timed('   16 writes, and 4 MiB at once, on ' + node.name):
                pair.write(node)
                pair.write_burst(node, 4)
            pair.same('after writes on ' + node.name)


def role_switch(pair):
    """The role goes back and forth; each primary reads what the other one wrote"""
    for node in (*pair.nodes, pair.kernel):
        with pair.primary(node):
            pair.reads(node, 'what was written before')
            pair.write(node, 6)


def line_3s(pair):
    """The line is cut for 3 s under writes, and the link resumed: no kernel notices"""
    # BSR's value. With DRBD's half second a ping that was lost with the line ends the connection.
    pair.options(ping_timeout=30)
    resumes, marks = pair.count('resumes'), {node: node.mark() for node in pair.nodes}
    with writing(pair) as writer:
        pair.line.cut()
        time.sleep(3)
        pair.line.heal()
        with pair.report.timed('   3 more writes after the line is back'):
            writer.wait(3)
        until('both relays resume data and meta',
              lambda: pair.resumed(resumes) >= 2, 10)
    pair.unnoticed(marks)
    for relay in pair.relays:
        pair.told(relay, 'the cut and the resume', 'from: established, to: resuming, why: [^,]+',
                  'from: resuming, to: established, why: [^,]+')
    pair.options()


def line_60s(pair):
    """The line is cut for 60 s under writes: both reconnect, and resync by bitmap"""
    pair.expect(*LOST)
    mark = pair.kernel.mark()
    with writing(pair) as writer:
        begin = time.monotonic()
        pair.line.cut()
        with pair.report.timed('   both notice') as t:
            t.note = pair.both(AWAY, 30)
        changed = alone(pair, writer, 6)
        writer.stop()
        while time.monotonic() - begin < 60:
            time.sleep(0.1)
        changed |= pair.write(pair.kernel, 2)
        pair.line.heal()
        pair.back('the line is back')
        pair.resynced_some(mark, changed, changed | writer.touched)
    for relay in pair.relays:
        pair.told(relay, 'the cut, its reason and the way back', 'from: established, to: resuming, why: [^,]+',
                  'to: stopping, why: .*link', 'trying again and again, .*trouble: .*refused', 'restarting, .*failed: ',
                  'from: stopped, to: bridging', 'from: bridging, to: bridged, why: linked with',
                  'to: established, why: ')


def relay_killed(pair):
    """Either relay is killed under writes (kill -9), and started again"""
    pair.expect(*LOST)
    for relay, other in (pair.relays, pair.relays[::-1]):
        mark = pair.kernel.mark()
        with writing(pair) as writer:
            with pair.report.timed('   kill -9 %s: both notice' % relay.name) as t:
                relay.kill()
                t.note = pair.both(AWAY, 30)
            changed = alone(pair, writer)
            relay.start()
            # It writes on until it is connected again.
            pair.back('started')
        pair.resynced_some(mark, changed, writer.touched)
        pair.same('after %s was killed' % relay.name)
        pair.told(relay, 'that it was started', 'drxd starts')
        pair.told(other, 'that the other one is gone', 'from: established, to: (resuming|stopping), why: .*DRX',
                  'trying again and again, .*trouble: the other DRX')


def relay_hangs(pair):
    """Either relay hangs under writes: it accepts, and moves nothing; then it goes on"""
    pair.expect(*LOST)
    pair.expect_of_relays('no usable handshake', 'no first packet in time')
    for relay in pair.relays:
        mark = pair.kernel.mark()
        with writing(pair) as writer:
            with pair.report.timed('   SIGSTOP %s: both notice' % relay.name) as t:
                relay.freeze()
                t.note = pair.both(AWAY, 30)
            changed = alone(pair, writer)
            relay.thaw()
            pair.back('it goes on')
        pair.resynced_some(mark, changed, writer.touched)
        pair.same('after %s hung' % relay.name)


def line_frozen(pair):
    """The line moves nothing for 15 s under writes, and nobody is told"""
    pair.expect(*LOST)
    pair.expect_of_relays('no usable handshake')   # dials that were on the way
    mark = pair.kernel.mark()
    with writing(pair) as writer:
        begin = time.monotonic()
        pair.line.freeze()
        with pair.report.timed('   both notice') as t:
            t.note = pair.both(AWAY, 30)
        changed = alone(pair, writer)
        writer.stop()
        while time.monotonic() - begin < 15:
            time.sleep(0.1)
        pair.line.thaw()
        pair.back('the line is back')
    pair.resynced_some(mark, changed, writer.touched)
    for relay in pair.relays:
        pair.told(relay, 'the silence', 'why: .*the other DRX was silent for')


def peer_paused(pair):
    """The peer's guest does not run for a while under writes"""
    pair.expect(*LOST)
    mark = pair.kernel.mark()
    with writing(pair) as writer:
        with pair.report.timed('   node2 paused: node1 notices') as t:
            pair.peer.freeze()
            t.note = '%.2f s' % pair.kernel.wait(AWAY, 30)
        changed = alone(pair, writer)
        pair.peer.thaw()
        pair.back('it goes on')
    pair.resynced_some(mark, changed, writer.touched)
    for relay in pair.relays:
        pair.told(relay, 'that bsr left', 'why: .*bsr (closed|disconnected)')


def peer_killed(pair):
    """The peer's guest loses its power under writes, and boots again"""
    pair.expect(*LOST)
    mark = pair.kernel.mark()
    with writing(pair) as writer:
        with pair.report.timed('   node2 is switched off: node1 notices') as t:
            pair.kill(pair.peer)
            t.note = '%.2f s' % pair.kernel.wait(AWAY, 30)
        changed = alone(pair, writer)
        writer.stop()
        with pair.report.timed('   node2 boots, and is up'):
            pair.peer.revive()
        pair.back('it is back')
    pair.resynced_some(mark, changed, writer.touched)
    pair.told(pair.relays[1], 'that its bsr left', 'why: .*bsr (closed|disconnected)')


def one_direction(pair):
    """Only one of the relays can dial the other one; then only one of the kernels its relay"""
    pair.expect(*LOST)
    for able, role in ((2, 'acceptor'), (1, 'connector')):
        pair.line.cut()
        pair.both(AWAY, 30)
        pair.line.heal([3 - able])
        pair.back('only relay %d can dial' % able)
        pair.established()
        used = {channel['role'] for channel in pair.relays[0].channels() if channel['standing'] == 'established'}
        pair.report.check(used == {role}, "both connections are relay 1's %ss" % role, ', '.join(sorted(used)))
        with pair.primary(pair.kernel):
            pair.write(pair.kernel, 6)
        pair.same('with only relay %d able to dial' % able)
        pair.line.heal()
    node = pair.peer
    node.down()
    node.reach = node.guest.ports.nobody(node.guest.n)
    node.write_configuration()
    node.up()
    pair.back('only node1 can dial its relay')
    used = {channel['role'] for channel in pair.relays[0].channels() if channel['standing'] == 'established'}
    pair.report.check(used == {'acceptor'}, "both connections are relay 1's acceptors", ', '.join(sorted(used)))
    with pair.primary(node):
        pair.write(node, 6)
    pair.same('with only node1 able to dial')
    node.down()
    node.reach = pair.reach[node.guest]
    node.write_configuration()
    node.up()


def delay(pair):
    """50 ms each way: between the relays, then between the kernels and their relays (netem)"""
    lines = (('on the line', lambda on: pair.line.delay(0.05 * on)),
             ('at the guests', lambda on: pair.each(lambda node: node.guest.delay(50 * on))))
    for where, turn in lines:
        turn(True)
        pair.each(lambda node: node.disconnect())
        with pair.report.timed('   50 ms %s' % where) as t:
            pair.each(lambda node: node.connect())
            t.note = pair.both(UP, 60)
        with pair.primary(pair.kernel):
            begin = time.monotonic()
            pair.write(pair.kernel, 10)
            each = (time.monotonic() - begin) / 10
            if pair.protocol == 'C':
                pair.report.check(each >= 0.1, '10 writes took 100 ms each, or more', '%.0f ms' % (each * 1000))
            else:
                pair.report.say('   10 writes', each * 10)
        pair.same('after these')
        mark = pair.kernel.mark()
        pair.apart(pair.peer)
        with pair.primary(pair.kernel):
            changed = pair.write(pair.kernel, 12)
        pair.peer.connect()
        pair.back('connected again')
        pair.resynced(mark, changed, 'written apart')
        pair.same('with 50 ms ' + where)
        turn(False)


def bab_full(pair):
    """A small BAB and a slow line, which is cut, too: the node blocks, nothing is lost, and all of it drains"""
    # The pings of a kernel that waits are slow, too.
    pair.expect(r'sock_sendmsg time expired, ko = ')
    pair.expect_of_relays('the BAB is full: bsr is not read')
    pair.options(ping_timeout=30)
    one = pair.relays[0]
    for relay in pair.relays:
        relay.order('set', 'r0', 'bab.size', '1MiB')
    resumes, marks = pair.count('resumes'), {node: node.mark() for node in pair.nodes}
    most = mark = 0

    def fill():
        """What the BAB holds now, bytes of the data channel's."""
        nonlocal most, mark
        used = 0
        for channel in one.channels():
            if channel['channel_type'] == 'data':
                used, mark = channel['bab']['used'], channel['bab']['high_mark']
        most = max(most, used)
        return used

    with pair.primary(pair.kernel):
        pair.line.limit(MIB)
        data, at, begin = pair.random.randbytes(16 * MIB), 4 * MIB, time.monotonic()
        task = pair.pool.submit(pair.kernel.write_burst, at, data, 120)
        until('the BAB is full up to its reserve', lambda: fill() >= mark, 20)
        pair.line.cut()
        cut = time.monotonic()
        until('the reserve is used, too', lambda: fill() > mark, 3)
        while time.monotonic() < cut + 3:
            fill()
        pair.report.check(not task.done(), 'the BAB is full, and the node waits', '%d KiB held' % (most >> 10))
        pair.line.heal()
        until('both relays resume', lambda: pair.resumed(resumes), 10)
        while time.monotonic() < begin + 8:
            fill()
        # Five seconds it went, with 1 MiB a second: what is missing is more than TCP holds on the way.
        pair.report.check(not task.done(), 'after 8 s it waits still')
        pair.line.limit(0)
        with pair.report.timed('   the line is fast again: 16 MiB written'):
            task.result(60)
        pair.apply([(at, data)])
        pair.newest = blocks([(at, data)])
        pair.kernel.wait('pe:0 ua:0 ap:0', 30)
    until('the BAB is empty', lambda: all(channel['bab']['used'] == 0 for channel in one.channels()), 10)
    pair.report.check(most <= MIB, 'the BAB never held more than it may', '%d KiB' % (most >> 10))
    pair.unnoticed(marks)
    pair.told(one, 'that the BAB was full, and is no more', 'the BAB is full up to its reserve',
              'bsr is not read in drips any more', 'from: resuming, to: established')
    for relay in pair.relays:
        relay.order('set', 'r0', 'bab.size', '64MiB')
    pair.options()


def disconnected(pair):
    """drbdadm disconnect and connect, on either node and on both"""
    pair.expect(r'Requested state change failed by peer: Concurrent state changes')
    for who in ([pair.kernel], [pair.peer], pair.nodes):
        pair.apart(who[0])
        for node in who[1:]:
            node.disconnect()
        mark = pair.kernel.mark()
        with pair.primary(pair.kernel):
            changed = pair.write(pair.kernel, 6)
        for task in [pair.pool.submit(node.connect) for node in who]:
            task.result()
        pair.up()
        pair.resynced(mark, changed, 'written apart')


def crossed(pair):
    """Both connect in the same instant, again and again: first packets cross, and are sorted out"""
    pair.expect(r'Requested state change failed by peer: Concurrent state changes')
    took = []
    for _ in range(4):
        pair.each(lambda node: node.disconnect())
        begin = time.monotonic()
        pair.each(lambda node: node.connect())
        pair.both(UP, 60)
        took.append(time.monotonic() - begin)
    crossings = sum(len(node.said('crossed', pair.marks[node])) for node in pair.nodes)
    pair.report.say('   connected', sum(took) / len(took), 'mean; longest %.2f s; %d packets crossed'
                    % (max(took), crossings))


def held_pings(pair):
    """With hold_pings the line may be away longer than DRBD's pings wait; SIGTERM ends the relays in order"""
    pair.configure_relays('\n[link]\nhold_pings = true\n')
    begin = [log.mark() for log in pair.logs]
    # Idle for some pings, which tell the relays ping-int.
    until('both relays know ping-int',
          lambda: all(log.says("bsr's ping-int is known", begun) for log, begun in zip(pair.logs, begin)), 120)
    resumes, marks = pair.count('resumes'), {node: node.mark() for node in pair.nodes}
    with writing(pair) as writer:
        pair.line.cut()
        time.sleep(8)   # longer than ping-int and ping-timeout together
        pair.line.heal()
        writer.wait(3)
        until('both relays resume data and meta',
              lambda: pair.resumed(resumes) >= 2, 10)
    pair.unnoticed(marks)
    held = sum(pair.count('held_pings'))
    pair.report.check(held > 0, 'pings were answered by the relays', str(held))
    pair.same('after the pause')   # with protocol A some of it is still under way
    pair.configure_relays()


def flush(pair):
    """A relay is stopped while it holds MiBs that were acknowledged: all of them are on the other disk then"""
    pair.expect(*LOST)
    pair.options(ping_timeout=30)
    one, begun = pair.relays[0], pair.logs[0].mark()
    with pair.primary(pair.kernel):
        pair.line.freeze()
        pair.write_burst(pair.kernel, 12)
        until('relay 1 holds all that was written', lambda: max(channel['bab']['used'] for channel in one.channels()) >=
              12 * MIB, 10)
        stopped = pair.pool.submit(one.terminate, 70)
        until('relay 1 stops', lambda: pair.logs[0].says('what the BABs hold is being flushed', begun), 10)
        pair.line.thaw()
        pair.report.check(stopped.result() == 0, 'relay 1: exit status 0')
        pair.both(AWAY, 30)
        pair.same('with relay 1 stopped: all that it held was flushed')
        one.start()
        pair.back('relay 1 started')
    pair.told(one, 'that it was stopped', 'stopping: .*, why: SIGTERM', 'from: established, to: close_pending, why: .+',
              'everything is written to bsr', 'drxd has stopped')
    pair.options()
