"""The two nodes of a pair: a guest's DRBD, and drx-bsr. Both understand the same words."""
import json, os, re, signal, subprocess, time

from guests import LOCALHOST, LabError, Process

NET = {'ping-int': 1, 'connect-int': 1, 'verify-alg': 'crc32c'}
STATE = re.compile(r'\bcs:(\S+)\s+ro:(\S+)\s+ds:(\S+)')


class Node:
    """What both have in common. Options have DRBD's names; sizes among them are in bytes."""

    def __init__(self, name, disk, reach):
        self.name, self.disk, self.reach = name, disk, reach   # reach: the port its peer is looked for at
        self.protocol, self.net = 'C', {}

    def configure(self, protocol, **net):
        """What it is to be from the next up() on. Underscores in names are hyphens."""
        self.protocol, self.net = protocol, {**NET, **{name.replace('_', '-'): value for name, value in net.items()}}
        self.write_configuration()

    def content(self, size):
        """The first `size` bytes of its disk, as the host sees them."""
        with open(self.disk, 'rb') as f:
            return f.read(size)

    def overwrite(self, at, data):
        """Changes its disk under its feet."""
        with open(self.disk, 'r+b') as f:
            f.seek(at)
            f.write(data)

    def mark(self):
        """Where its log ends now."""
        return len(self.log())

    def said(self, regex, since=0):
        """All that it logged since then and that matches."""
        return re.findall(regex, self.log()[since:])

    def wait_said(self, regex, since, timeout=30):
        """Until it logged something that matches."""
        end = time.monotonic() + timeout
        while not self.said(regex, since):
            if time.monotonic() > end:
                raise LabError('%s did not log /%s/ in %d s' % (self.name, regex, timeout))
            time.sleep(0.02)


class Kernel(Node):
    """A guest's DRBD."""

    def __init__(self, guest, reach, name=None):
        super().__init__(name or ('DRBD' if guest.n == 1 else 'DRBD 2'), guest.disk, reach)
        self.guest, self.disk_options = guest, ''
        self.state, self.wait = guest.state, guest.wait

    def write_configuration(self):
        words = {True: 'yes', False: 'no'}
        net = {name: words.get(value, value) if isinstance(value, bool) else value for name, value in self.net.items()}
        if 'congestion-fill' in net:
            net['congestion-fill'] = '%ds' % (net['congestion-fill'] // 512)
        self.guest.configure(self.protocol, ' '.join('%s %s;' % option for option in net.items()), self.reach,
                             self.disk_options)

    def log(self): return self.guest.console()
    def admin(self, words, timeout=30): return self.guest.sh('drbdadm ' + words, timeout)

    def create(self, content):
        """A new disk that holds this, where DRBD's metadata leaves it."""
        self.overwrite(0, content)
        self.admin('create-md --force r0')

    def up(self): self.admin('up r0')
    def down(self):
        """Again and again for a while: DRBD refuses in the midst of a change of state."""
        self.guest.sh('[ -e /etc/drbd.conf ] || exit 0; '
                      'for _ in 1 2 3 4 5 6 7 8 9; do drbdadm down r0 && exit 0; usleep 200000; done; exit 1', 40)

    def primary(self, force=False): self.admin('primary %sr0' % ('--force ' if force else ''))
    def secondary(self): self.admin('secondary r0')
    def connect(self, discard=False): self.admin('connect %sr0' % ('--discard-my-data ' if discard else ''))
    def disconnect(self): self.admin('disconnect r0')
    def invalidate(self):
        self.hurry()
        self.admin('invalidate r0')

    def hurry(self):
        """Its own rates again: at each connect it takes over those that its peer told."""
        self.admin('disk-options r0 --c-plan-ahead=0 --resync-rate=400M')

    def verify(self):
        """Compares both disks; how many bytes differ."""
        self.hurry()
        mark = self.mark()
        self.admin('verify r0')
        self.wait_said('Online verify (?:done|reached)', mark, 60)
        self.wait('cs:Connected', 10)
        return 4096 * sum(map(int, self.said(r'Online verify found (\d+) 4k block', mark)))

    def size(self): return int(self.guest.sh('cat /sys/class/block/drbd0/size')) * 512

    def out_of_sync(self): return int(self.state()['oos']) * 1024

    def write(self, writes, timeout=60):
        """Each a request of its own, to the disk when it returns."""
        self.guest.sh('set -e; ' + '; '.join(
            'dd of=/dev/drbd0 bs=%d count=1 iflag=fullblock oflag=direct,seek_bytes seek=%d conv=notrunc status=none'
            % (len(data), at) for at, data in writes), timeout, b''.join(data for _, data in writes))

    def write_burst(self, at, data, timeout=60):
        """Many requests at once."""
        self.guest.sh('dd of=/dev/drbd0 bs=64k iflag=fullblock oflag=seek_bytes seek=%d conv=notrunc,fsync status=none'
                      % at, timeout, data)

    def discard(self, at, length): self.guest.sh('blkdiscard -o %d -l %d /dev/drbd0' % (at, length))

    def read(self, at, length):
        status, data = self.guest.run('echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/drbd0 bs=64k skip=%d count=%d '
                                      'iflag=skip_bytes,count_bytes status=none' % (at, length), 60)
        if status:
            raise LabError('%s: reading: %s' % (self.name, data))
        return data

    def kill(self):
        """As when the power fails: what is on the disk stays."""
        self.guest.process.kill()

    def revive(self):
        self.guest.start()
        self.guest.boot()
        self.write_configuration()
        self.up()

    def freeze(self): self.guest.qmp('stop')
    def thaw(self): self.guest.qmp('cont')


class Peer(Node):
    """drx-bsr, as node 2 of the pair, in the place of a second guest."""

    def __init__(self, ports, binaries, directory, reach, opening, node_id):
        super().__init__('drx-bsr', os.path.join(directory, 'volume.img'), reach)
        self.ports, self.binary, self.directory = ports, os.path.join(binaries, 'drx-bsr'), directory
        self.opening, self.node_id, self.process = opening, node_id, None
        os.makedirs(directory, exist_ok=True)
        self.output = os.path.join(directory, 'drx-bsr.log')

    def write_configuration(self):
        lines = ['name = "node2"', 'node-id = %d' % self.node_id, 'peer-node-id = %d' % (1 - self.node_id),
                 'volume = "volume.img"', 'metadata = "metadata"', 'socket = "drx-bsr.sock"',
                 'address = "%s:%d"' % (LOCALHOST, self.ports.drbd(2)), 'peer = "%s:%d"' % (LOCALHOST, self.reach),
                 'opening = "%s"' % self.opening, '[net]', 'protocol = "%s"' % self.protocol]
        # The kernel keeps its half second, which is its socket check, too (bsr-wire A.4); from an emulated guest on a
        # busy machine half a second is not long for an answer.
        lines += ['%s = %s' % (name, json.dumps(value)) for name, value in {'ping-timeout': 15, **self.net}.items()]
        with open(os.path.join(self.directory, 'drx-bsr.toml'), 'w') as f:
            f.write('\n'.join(lines) + '\n')

    def log(self):
        try:
            with open(self.output, errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def run(self, *words, stdin=b'', timeout=70):
        return subprocess.run([self.binary, '-c', os.path.join(self.directory, 'drx-bsr.toml'), *map(str, words)],
                              input=stdin, capture_output=True, timeout=timeout)

    def order(self, *words, stdin=b''):
        """What drx-bsr says on its output; an error when its status is not 0."""
        done = self.run(*words, stdin=stdin)
        if done.returncode:
            raise LabError('drx-bsr %s: status %d: %s' % (' '.join(map(str, words)), done.returncode,
                                                          done.stderr.decode(errors='replace').strip()))
        return done.stdout

    def create(self, content):
        with open(self.disk, 'wb') as f:
            f.write(content)
        self.order('create', '--size', len(content), '--force')

    def up(self):
        mark = self.mark()
        self.process = Process([self.binary, '-c', 'drx-bsr.toml', 'up'], self.directory, self.output)
        end = time.monotonic() + 20
        while not self.said(r'(?m)^ready$', mark):
            if not self.process.alive() or time.monotonic() > end:
                raise LabError('drx-bsr did not start: %s' % self.log()[mark:][-500:])
            time.sleep(0.01)

    def down(self):
        if self.process and self.process.alive():
            self.order('down')
            status = self.process.ended(20)
            if status:
                raise LabError('drx-bsr ended with status %d' % status)

    def primary(self, force=False): self.order('primary', *['--force'] * force)
    def secondary(self): self.order('secondary')
    def connect(self, discard=False): self.order('connect', *['--discard-my-data'] * discard)
    def disconnect(self): self.order('disconnect')
    def invalidate(self): self.order('invalidate')
    def verify(self): return int(re.search(rb'(\d+) bytes differ', self.order('verify', '--wait')).group(1))

    def state(self):
        """As /proc/drbd has it: {'cs': …, 'ro': …, 'ds': …}."""
        m = STATE.search(self.order('status').decode())
        return dict(zip(('cs', 'ro', 'ds'), m.groups())) if m else {}

    def wait(self, regex, timeout=60):
        """Until the status matches; the seconds it took."""
        begin, status = time.monotonic(), ''
        while time.monotonic() - begin < timeout:
            status = self.order('status').decode()
            if re.search(regex, status):
                return time.monotonic() - begin
            time.sleep(0.02)
        raise LabError('drx-bsr: its status is not /%s/ in %d s: %s' % (regex, timeout, status))

    def report(self): return json.loads(self.order('status', '--json'))
    def size(self): return self.report()['size']
    def out_of_sync(self): return self.report()['out_of_sync']

    def write(self, writes, timeout=60):
        for at, data in writes:
            self.order('write', '--at', at, '--timeout', timeout, '-', stdin=data)

    def write_burst(self, at, data, timeout=60): self.write([(at, data)], timeout)
    def read(self, at, length): return self.order('read', '--at', at, '--length', length, '-')

    def kill(self): self.process.kill()
    def revive(self): self.up()
    def freeze(self): self.process.send(signal.SIGSTOP)
    def thaw(self): self.process.send(signal.SIGCONT)
