"""What happens to a pair of nodes. Each scenario begins and ends with both connected, up to date and secondary."""
import time

from guests import LabError
from pair import ALONE, AWAY, BLOCK, Writer, blocks

# What DRBD warns of when its peer goes without a word.
AWAY_NOISE = (r'connection shut down by peer', r'error receiving', r'PingAck did not arrive in time',
              r'sock was shut down', r'sock_recvmsg returned', r'sock_sendmsg', r'short read', r'short sent',
              r'_drbd_send_\w+: ')


def begin(pair):
    """Two new disks with different contents: one node is made primary by force and the other filled from it. Then the
    first one is made anew, and filled from the other."""
    first, second = pair.nodes if pair.protocol == 'C' else pair.nodes[::-1]
    for node in pair.nodes:
        node.down()
        node.configure(pair.protocol)
        node.create(pair.random.randbytes(pair.disk_size(node)))
        node.up()
    with pair.report.timed('new disks: connected') as t:
        t.note = pair.both('cs:Connected .*ds:Inconsistent/Inconsistent', 30)
    pair.size = pair.kernel.size()
    pair.report.check(pair.peer.size() == pair.size, 'both agree on the size', '%d KiB' % (pair.size >> 10))
    pair.image = bytearray(first.content(pair.size))
    mark = pair.kernel.mark()
    first.primary(force=True)
    pair.up()
    pair.resynced(mark, range(pair.size // BLOCK), 'everything, from ' + first.name)
    pair.same('after the initial sync from ' + first.name)
    pair.write(first)
    pair.same('after writes on ' + first.name)
    first.secondary()
    first.down()
    mark = pair.kernel.mark()
    first.create(pair.random.randbytes(pair.disk_size(first)))
    first.up()
    pair.up()
    pair.resynced(mark, range(pair.size // BLOCK), 'everything, to the new disk of ' + first.name)
    pair.same('after the initial sync from ' + second.name)


def switch(pair):
    """The role goes back and forth; each primary reads what the other one wrote, and writes."""
    for node in (pair.kernel, pair.peer, pair.kernel):
        with pair.primary(node):
            pair.reads(node, 'what was written before')
            pair.write(node)
            pair.write_burst(node)
            pair.same('after writes on ' + node.name)


def bitmap(pair):
    """Disconnected, written to, connected: what is resynced is what changed."""
    for primary in pair.nodes:
        for by in pair.nodes:
            with pair.primary(primary):
                pair.apart(by)
                mark, changed = pair.kernel.mark(), pair.write(primary)
                by.connect()
                pair.up()
                pair.resynced(mark, changed, '%s wrote, %s disconnected' % (primary.name, by.name))
                pair.same('after the resync')


def verified(pair):
    """Online verify finds nothing. Then one disk is changed under its node's feet: it is found by both, and the next
    connect mends it together with what was written meanwhile."""
    for by in pair.nodes:
        found = pair.verify(by)
        pair.report.check(found == 0, 'verify by %s: nothing differs' % by.name, '%d bytes' % found)
    pair.expect('Online verify found', 'Out of sync:')
    for primary, by in (pair.nodes, pair.nodes[::-1]):
        victim = pair.other(primary)
        victim.down()
        spoilt = {block for block in pair.random.sample(range(pair.size // BLOCK), 24)}
        for block in spoilt:
            victim.overwrite(block * BLOCK + 512, pair.random.randbytes(512))
        victim.up()
        pair.up()
        found = pair.verify(by)
        pair.report.check(found == len(spoilt) * BLOCK,
                          'verify by %s: all that was spoilt on %s' % (by.name, victim.name), '%d bytes' % found)
        for node in pair.nodes:
            counted = node.out_of_sync()
            pair.report.check(counted == found, '%s counts it as out of sync' % node.name, '%d bytes' % counted)
        with pair.primary(primary):
            mark = pair.kernel.mark()
            pair.apart(by)
            changed = pair.write(primary)
            by.connect()
            pair.up()
            pair.resynced(mark, changed | spoilt, 'spoilt on %s or written on %s' % (victim.name, primary.name))
            pair.same('after the resync')


def split_brain(pair):
    """Both were primary while apart: refused, until one side gives its changes up. The bitmaps differ, and are ORed."""
    pair.expect('Split-Brain', 'error receiving ReportState', *AWAY_NOISE)
    for victim in pair.nodes:
        survivor = pair.other(victim)
        pair.apart(victim)
        lost = pair.some_writes(8)
        with pair.primary(victim):
            victim.write(lost)
        pair.kernel.disconnect() if victim is not pair.kernel else pair.peer.disconnect()
        with pair.primary(survivor):
            kept = pair.write(survivor, 8)
        pair.each(lambda node: node.connect())
        # Who hears of the end before it has compared goes on trying: so it is between two kernels, too.
        with pair.report.timed('both were primary') as t:
            t.note = '%s StandAlone, %s' % (pair.either('cs:StandAlone', 20).name, pair.both(ALONE, 20))
        pair.report.check(True, 'a split brain is refused')
        pair.each(lambda node: node.state()['cs'] == 'StandAlone' or node.disconnect())
        mark = pair.kernel.mark()
        victim.connect(discard=True)
        survivor.connect()
        pair.up()
        pair.resynced(mark, kept | blocks(lost), 'written on either')
        pair.same('as %s had it' % survivor.name)


def secrets(pair):
    """cram-hmac, and digests with the data."""
    for algorithm, integrity, primary in (('sha1', 'crc32c', pair.kernel), ('sha256', 'sha1', pair.peer)):
        pair.configure(cram_hmac_alg=algorithm, shared_secret='geheim', data_integrity_alg=integrity)
        with pair.primary(pair.other(primary)):
            pair.write(pair.other(primary), 8)
        with pair.primary(primary):
            pair.write(primary, 8)
            pair.apart(pair.peer)
            mark, changed = pair.kernel.mark(), pair.write(primary, 8)
            pair.peer.connect()
            pair.up()
            pair.resynced(mark, changed, 'with %s and digests (%s)' % (algorithm, integrity))
            pair.same('after writes on both')
    for mine, yours, what in (('geheim', 'falsch', 'a wrong secret'), ('geheim', None, 'a secret on one side only'),
                              (None, 'geheim', 'a secret on the other side only')):
        pair.expect('Authentication of peer failed', 'expected AuthChallenge packet',
                    'nexpected data packet AuthChallenge', 'ProtocolError', *AWAY_NOISE)
        marks = {node: node.mark() for node in pair.nodes}
        for node, secret in zip(pair.nodes, (mine, yours)):
            node.down()
            node.configure(pair.protocol, **({'cram_hmac_alg': 'sha1', 'shared_secret': secret} if secret else {}))
            node.up()
        try:
            refusing = pair.either('cs:StandAlone', 10)
        except LabError as error:
            pair.report.check(False, '%s: refused' % what, str(error))
            continue
        said = refusing.said(r'(?i).*(?:auth|secret|hmac).*', marks[refusing])
        pair.report.check(bool(said), '%s: %s goes StandAlone and says why' % (what, refusing.name),
                          said[-1].strip()[:150] if said else '')
    pair.configure()
    pair.same('after all that')


def checksums(pair):
    """csums-alg: a full resync of a disk that differs little moves little."""
    pair.configure(csums_alg='sha1')
    for target in pair.nodes:
        for block in pair.random.sample(range(pair.size // BLOCK), 5):
            target.overwrite(block * BLOCK, pair.random.randbytes(BLOCK))
        mark = pair.kernel.mark()
        target.invalidate()
        pair.kernel.wait_said('Resync done', mark)
        pair.up()
        said = pair.kernel.said(r'(\d+) % had equal checksums, eliminated: (\d+)K; transferred (\d+)K', mark)
        pair.report.check(len(said) == 1 and int(said[0][0]) >= 80, 'resync to %s by checksums' % target.name,
                          'equal: %s %%, %s KiB; transferred %s KiB' % said[0] if said else 'the kernel says nothing')
        pair.same('after it')
    pair.configure()


def busy_resync(pair):
    """Written to while everything is resynced."""
    for source in pair.nodes:
        with pair.primary(source):
            mark = pair.kernel.mark()
            writer = Writer(pair, source)
            writer.wait(1)
            pair.other(source).invalidate()
            source.wait('cs:SyncSource', 10)
            before = writer.acknowledged
            writer.most = before + 100   # drx-bsr, unlike the guest, would keep the kernel busy with nothing else
            source.wait('cs:Connected', 40)
            during = writer.acknowledged - before
            pair.up()
            writer.stop()
            pair.report.check(during > 0, 'writes on %s were acknowledged during the resync' % source.name, str(during))
            pair.resynced(mark, range(pair.size // BLOCK), 'everything')
            pair.same('after the resync with writes on ' + source.name)


def killed(pair):
    """kill -9, while the other one writes, and while it writes itself; what was acknowledged is there."""
    dies(pair, pair.peer)


def power(pair):
    """The same with the guest, which loses its power."""
    dies(pair, pair.kernel)


def dies(pair, victim):
    other = pair.other(victim)
    pair.expect(*AWAY_NOISE)
    other.primary()
    writer = Writer(pair, other)
    writer.wait(8)
    victim.kill()
    other.wait(AWAY, 20)
    writer.wait(8, 60)
    writer.stop()
    victim.revive()
    pair.up()
    pair.same('after %s was killed as secondary' % victim.name)
    other.secondary()
    victim.wait(r'ro:\w+/Secondary', 10)
    victim.primary()
    writer = Writer(pair, victim)
    writer.wait(12)
    victim.kill()
    writer.died()
    other.wait(AWAY, 20)
    if pair.protocol == 'C':
        lost = writer.missing(other)
        pair.report.check(not lost, 'what was acknowledged is on %s already' % other.name, lost)
    victim.revive()
    pair.up()
    pair.same('after %s was killed as primary, %d writes acknowledged' % (victim.name, writer.acknowledged))


def paused(pair):
    """One node does not answer for longer than pings wait, while the other one writes."""
    for victim in pair.nodes:
        pair.expect(*AWAY_NOISE)
        other = pair.other(victim)
        with pair.primary(other):
            writer = Writer(pair, other)
            writer.wait(4)
            victim.freeze()
            with pair.report.timed('%s is frozen: %s notices' % (victim.name, other.name)):
                other.wait(AWAY, 20)
            writer.wait(4)
            writer.stop()
            victim.thaw()
            pair.up()
            pair.same('after %s did not answer' % victim.name)


def cut(pair):
    """The line is away until both notice, or for some seconds, while one writes."""
    for primary in pair.nodes:
        pair.expect(*AWAY_NOISE)
        with pair.primary(primary):
            writer = Writer(pair, primary)
            writer.wait(4)
            pair.line.cut()
            try:
                pair.report.say('the line is cut: both notice', None, pair.both(AWAY, 6))
            except LabError:
                pair.report.say('the line is cut: not noticed in 6 s')
            pair.line.heal()
            writer.wait(4)
            writer.stop()
            pair.up()
            pair.same('after the line was away')


def ahead(pair):
    """Protocol A, and the other side does not keep up: the primary goes Ahead, and resyncs later."""
    pair.configure(on_congestion='pull-ahead', congestion_fill=256 << 10)
    for primary in pair.nodes:
        marks = {node: node.mark() for node in pair.nodes}
        with pair.primary(primary):
            pair.write_burst(primary, 8)
            pair.write(primary, 4)
            primary.wait_said('-> Ahead', marks[primary], 10)
            pair.other(primary).wait_said('-> Behind', marks[pair.other(primary)], 10)
            pair.report.check(True, '%s went Ahead' % primary.name)
            pair.up()
            pair.same('after %s was Ahead' % primary.name)
    pair.configure()


def discarded(pair):
    """The kernel discards ranges of any size, in one packet each."""
    with pair.primary(pair.kernel):
        for at, length in ((1 << 20, 4 << 20), (pair.size // 2 - 4096, 8192), (pair.size // 2 + (1 << 20), 9 << 20)):
            pair.kernel.discard(at, length)
            pair.apply([(at, bytes(length))])
            pair.write(pair.kernel, 2)
        pair.same('after discards')


def versions(pair):
    """Older versions of the protocol, protocol B, and bitmaps that are sent plain."""
    kernel, peer = pair.nodes
    for protocol, version, options, primary in (
            ('C', 86, {}, peer), ('A', 94, {}, kernel), ('C', 99, {}, peer),
            ('B', 101, {}, kernel), ('B', 101, {}, peer), ('C', 101, {'use_rle': False}, kernel)):
        what = 'protocol %s, version %d%s' % (protocol, version, ', no run lengths' if options else '')
        pair.configure(protocol, {'protocol_max': version}, **options)
        said = pair.kernel.said(r'Agreed network protocol version (\d+)')[-1]
        pair.report.check(int(said) == version, 'version %s is agreed' % said)
        with pair.primary(primary):
            pair.write(primary, 8)
            pair.write_burst(primary)
            pair.apart(pair.kernel)
            mark, changed = pair.kernel.mark(), pair.write(primary, 4)
            pair.kernel.connect()
            pair.up()
            pair.resynced(mark, changed, what)
            pair.same('with ' + what, 10)
        if version >= 88:   # DRBD refuses to verify below
            found = pair.verify(pair.other(primary))
            pair.report.check(found == 0, 'verify finds nothing with ' + what, '%d bytes' % found)
    pair.configure()


def ended(pair):
    """Both leave in order."""
    pair.expect(*AWAY_NOISE)
    pair.peer.down()
    pair.kernel.wait(ALONE, 20)
    pair.kernel.down()
    pair.report.check(True, 'both ended in order')


ALL = [begin, switch, bitmap, verified, split_brain, secrets, checksums, busy_resync, paused, cut, killed, power, ahead,
       discarded, versions, ended]
# What is tried in some sessions only, to save time: what it is about is the same in the others.
ONLY = {ahead: [('A', 'direct'), ('A', 'relayed')], power: [('C', 'direct'), ('C', 'relayed')],
        discarded: [('C', 'direct'), ('A', 'relayed')], versions: [('C', 'direct')]}


def named(names, protocol, way):
    """The scenarios of one session, in their order: all, or those named between the first and the last."""
    chosen = [scenario for scenario in ALL if not names or scenario.__name__ in names or scenario in (begin, ended)]
    return [scenario for scenario in chosen if (protocol, way) in ONLY.get(scenario, [(protocol, way)])]
