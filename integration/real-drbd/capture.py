"""What goes over the loopback, recorded and dissected by Wireshark."""
import collections, os, re, shutil, signal, subprocess, time

from guests import LabError, Process


# Opened with header 80; all else has header 100 once version 100 or later is agreed (bsr-wire B.1).
EARLY = {0xfff1, 0xfff2, 0xfffe}

# Authentication, bitmap, resync, checksums, writes and their acknowledgements, barriers, verify, ping, disconnect.
NEEDED = {0x10, 0x11, 0x24, 0x09, 0x02, 0x17, 0x21, 0x22, 0x00, 0x16, 0x03, 0x1c, 0x1e, 0x1f, 0x20, 0x13, 0x14, 0x2a,
          0x2b}


class Capture:
    """Records the TCP connections of these ports, from when it is made until stop()."""

    def __init__(self, ports, directory):
        self.file, self.log = os.path.join(directory, 'lo.pcapng'), os.path.join(directory, 'capture.log')
        wanted = ' or '.join('tcp port %d' % port for port in ports)
        if not shutil.which('dumpcap'):
            raise LabError('no dumpcap: apt-get install tshark')
        self.process = Process(['dumpcap', '-q', '-i', 'lo', '-B', '64', '-f', wanted, '-w', self.file], directory,
                               self.log)
        end = time.monotonic() + 10
        while not os.path.exists(self.file):   # made when it listens
            if not self.process.alive() or time.monotonic() > end:
                raise LabError('dumpcap does not start, see %s' % self.log)
            time.sleep(0.02)

    def stop(self):
        """Ends it; how many packets it missed."""
        self.process.send(signal.SIGINT)
        self.process.ended(20)
        with open(self.log, errors='replace') as f:
            counted = re.search(r'received/dropped on interface .*: (\d+)/(\d+)', f.read())
        if not counted:
            raise LabError('dumpcap does not say what it dropped, see %s' % self.log)
        return int(counted.group(2))

    def dissected(self):
        """What Wireshark makes of it, a Way for each direction of each connection."""
        fields = ('tcp.stream', 'tcp.srcport', 'tcp.seq', 'tcp.len', 'drbd.command', 'drbd.length', '_ws.malformed')
        ways = collections.defaultdict(Way)
        for line in self._tshark('-T', 'fields', *[word for field in fields for word in ('-e', field)]).splitlines():
            stream, port, seq, length, commands, lengths, malformed = line.split('\t')
            way = ways[int(stream), int(port)]
            if int(length):
                way.bytes = max(way.bytes, int(seq) + int(length) - 1)   # numbered from 1 on
            way.malformed += malformed != ''
            for command, body in zip(commands.split(','), lengths.split(',')):
                if command:
                    way.packets[int(command, 0)] += 1
                    way.dissected += int(body, 0) + (8 if int(command, 0) in EARLY else 16)
        return list(ways.values())

    def _tshark(self, *words):
        done = subprocess.run(['tshark', '-n', '-r', self.file, '--enable-heuristic', 'drbd_tcp', *words],
                              capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise LabError('tshark: %s' % done.stderr)
        return done.stdout


class Way:
    """One direction of one connection: its bytes, those of them that were dissected, and the packets by command."""

    def __init__(self): self.bytes, self.dissected, self.malformed, self.packets = 0, 0, 0, collections.Counter()


def recorded(pair, capture):
    """From the first byte to the last, recorded: set-up, authentication, resync, writes, verify, disconnect."""
    secret = {'cram_hmac_alg': 'sha1', 'shared_secret': 'geheim'}
    for node in pair.nodes:
        node.configure('C', **secret)
        node.create(pair.random.randbytes(pair.disk_size(node)))
        node.up()
    pair.both('cs:Connected', 30)
    pair.size, pair.image = pair.kernel.size(), bytearray(pair.peer.content(pair.kernel.size()))
    pair.peer.primary(force=True)
    pair.up()
    pair.write(pair.peer)
    pair.peer.secondary()
    with pair.primary(pair.kernel):
        pair.write(pair.kernel)
        pair.apart(pair.kernel)
        pair.write(pair.kernel)
        pair.kernel.connect()
        pair.up()
    pair.configure(**secret, csums_alg='sha1')
    for node in (pair.peer, pair.kernel):
        pair.verify(node)
    pair.peer.invalidate()
    pair.up()
    pair.same('after the recorded session')
    pair.apart(pair.peer)
    missed = capture.stop()
    pair.report.check(missed == 0, 'all of it was recorded', '%d packets missed' % missed)
    ways = [way for way in capture.dissected() if way.bytes]
    packets = sum((way.packets for way in ways), collections.Counter())
    pair.report.check(not any(way.malformed for way in ways), 'Wireshark finds no malformed packet',
                      'in %d' % sum(packets.values()))
    pair.report.check(all(way.bytes == way.dissected for way in ways), 'Wireshark dissects every byte as DRBD',
                      ', '.join('%d of %d' % (way.dissected, way.bytes) for way in ways))
    missing = NEEDED - set(packets)
    pair.report.check(not missing, 'every phase is in it', '%d kinds of packets' % len(packets) if not missing else
                      ' '.join('%#x is not' % command for command in missing))
