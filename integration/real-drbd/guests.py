"""Two QEMU guests with the stock kernel's DRBD, each with commands run in it from here."""
import base64, contextlib, json, os, re, signal, socket, subprocess, time

LOCALHOST = '127.0.0.1'
DRBD_PORT = 7789


class LabError(Exception):
    """Something did not come about; says what, and what was there instead."""


class Ports:
    """The ports of one run, all on addresses in 127.0.0.0/8, in a range that was free when it began."""
    WIDTH = 40

    def __init__(self, first):
        # Below 32768, where the kernel takes source ports from: nothing slips in between.
        for base in range(first, 32000, Ports.WIDTH) if first else range(20000, 32000, Ports.WIDTH):
            if all(self._free(base + offset) for offset in range(Ports.WIDTH)):
                self.base = base
                return
        raise LabError('no %d free ports in a row' % Ports.WIDTH)

    @staticmethod
    def _free(port):
        with socket.socket() as s:
            try:
                s.bind(('', port))
                return True
            except OSError:
                return False

    def drbd(self, n): return self.base + n           # guest n's DRBD, as the host reaches it
    def inside(self, n): return self.base + 10 + n    # relay n, as guest n reaches it
    def control(self, n): return self.base + 20 + n   # commands for guest n
    def outside(self, n): return self.base + 30 + n   # relay n, as the other relay reaches it
    def nobody(self, n): return self.base + 35 + n    # where nobody listens


class Process:
    """A child of this script that dies with it."""

    def __init__(self, argv, cwd, log, files=()):
        with open(log, 'ab') as out:
            # pdeathsig: killed by the kernel if this script ends in any way whatsoever.
            self.popen = subprocess.Popen(['setpriv', '--pdeathsig', 'KILL'] + argv, cwd=cwd, stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=out, pass_fds=files)

    def alive(self): return self.popen.poll() is None
    def send(self, sig): self.popen.send_signal(sig)

    def kill(self):
        if self.alive():
            self.send(signal.SIGKILL)
        self.popen.wait(10)

    def ended(self, timeout):
        """Its exit status, once it has ended by itself."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError('%s does not end in %d s' % (self.popen.args[3], timeout)) from None


class Guest:
    """Guest n, whose DRBD looks for its peer at its own relay's inside."""
    def __init__(self, n, ports, cache, directory, disk=64 << 20, host=None):
        self.n, self.ports, self.cache, self.directory, self.host = n, ports, cache, directory, host
        self.name, self.peer = 'node%d' % n, 'node%d' % (3 - n)
        self.disk, self.console_log = os.path.join(directory, 'disk.img'), os.path.join(directory, 'console.log')
        os.makedirs(directory)
        with open(self.disk, 'wb') as f:
            f.truncate(disk)
        self.start()

    def start(self):
        """Switches it on. Its console goes on where it ended."""
        n, ports, cache, directory = self.n, self.ports, self.cache, self.directory
        self.said_before = len(self.console())
        mac = '52:54:00:d0:%02x:' % n
        user = 'user,id=%s,net=%s.0/24,host=%s.2,ipv6=off%s,hostfwd=tcp:%s:%d-%s.15:%d'
        self.born = time.monotonic()
        tap, card = [], []
        if self.host:
            tap = [self.host.tap()]
            card = ['-netdev', 'tap,id=host,fd=%d' % tap[0],
                    '-device', 'virtio-net-pci,netdev=host,romfile=,mac=' + mac + '03']
        # Emulated: where the host is itself a guest, KVM is rare, and a kernel that boots differently here and
        # there is no help.
        self.process = Process([
            'qemu-system-x86_64', '-name', 'drx-lab-' + self.name, '-accel', 'tcg,thread=multi,tb-size=128',
            '-cpu', 'max,la57=off', '-M', 'q35,vmport=off', '-smp', '1', '-m', '256', '-nodefaults', '-no-user-config',
            '-display', 'none', '-no-reboot',
            '-kernel', os.path.join(cache, 'vmlinux'), '-initrd', os.path.join(cache, 'initramfs.cpio'),
            '-append', 'console=ttyS0 quiet nokaslr mitigations=off nopti panic=1 tsc=reliable random.trust_cpu=on '
                       'lab.name=' + self.name,
            '-chardev', 'file,id=console,path=console.log,append=on', '-serial', 'chardev:console',
            '-qmp', 'unix:qmp.sock,server=on,wait=off',
            '-drive', 'if=none,id=b,file=disk.img,format=raw,cache=unsafe,discard=unmap',
            '-device', 'virtio-blk-pci,drive=b',
            '-netdev', user % ('drbd', '10.0.2', '10.0.2', '', LOCALHOST, ports.drbd(n), '10.0.2', DRBD_PORT),
            '-device', 'virtio-net-pci,netdev=drbd,romfile=,mac=' + mac + '01',
            '-netdev', user % ('ctl', '10.0.3', '10.0.3', ',restrict=on', LOCALHOST, ports.control(n), '10.0.3', 7700),
            '-device', 'virtio-net-pci,netdev=ctl,romfile=,mac=' + mac + '02',
            '-device', 'virtio-rng-pci', *card], directory, os.path.join(directory, 'qemu.log'), tap)
        for file in tap:
            os.close(file)

    def boot(self):
        """Until it is ready, and its clock is right: on a busy host its kernel may take the processor for slower than
        it is, and then DRBD's half second is none. The seconds that took."""
        begin = self.born
        for _ in range(5):
            self.wait_ready()
            second = time.monotonic()
            self.sh('sleep 1')
            if time.monotonic() - second > 0.75:
                return time.monotonic() - begin
            self.process.kill()
            self.start()
        raise LabError('%s: its clock is too fast, five times' % self.name)

    def wait_ready(self, timeout=90):
        """Until it takes commands; the seconds since it was started."""
        while True:
            if 'LAB-READY' in self.console()[self.said_before:]:
                with contextlib.suppress(OSError, LabError):
                    if self.run('true', 5)[0] == 0:
                        return time.monotonic() - self.born
            if not self.process.alive():
                with open(os.path.join(self.directory, 'qemu.log')) as f:
                    raise LabError('%s ended while booting: %s' % (self.name, f.read()[-500:]))
            if time.monotonic() - self.born > timeout:
                raise LabError('%s is not up in %d s, see %s' % (self.name, timeout, self.console_log))
            time.sleep(0.05)

    def console(self):
        """What its kernel said so far."""
        try:
            with open(self.console_log, errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def run(self, command, timeout=60, stdin=b''):
        """Runs a shell command in it: (exit status, output and errors). 143: ended after `timeout` seconds."""
        end_at = time.monotonic() + timeout + 5
        with socket.create_connection((LOCALHOST, self.ports.control(self.n)), timeout=5) as s:
            s.settimeout(timeout + 5)
            s.sendall(b'%d %s\n' % (timeout, base64.b64encode(command.encode())) + stdin)
            s.shutdown(socket.SHUT_WR)
            answer = bytearray()
            while True:
                left = end_at - time.monotonic()
                if left <= 0:
                    raise LabError('%s: no answer in %d s: %s' % (self.name, timeout, command))
                s.settimeout(left)
                try:
                    piece = s.recv(65536)
                except socket.timeout:
                    continue
                if not piece:
                    break
                answer += piece
        status = re.fullmatch(rb'\x1erc=(\d{3})\n', bytes(answer[-8:]))
        if not status:
            raise LabError('%s: the connection ended early: %s' % (self.name, command))
        return int(status.group(1)), bytes(answer[:-8])

    def sh(self, command, timeout=60, stdin=b''):
        """run(), its output as text; an error when the status is not 0."""
        status, output = self.run(command, timeout, stdin)
        if status:
            raise LabError('%s: status %d: %s\n%s' % (self.name, status, command, output.decode(errors='replace')))
        return output.decode(errors='replace').rstrip('\n')

    def qmp(self, command, **arguments):
        """One command to QEMU: stop and cont freeze and thaw the guest, set_link takes its cable out."""
        directory = os.open(self.directory, os.O_RDONLY)   # a short path, however long the directory's is
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect('/proc/self/fd/%d/qmp.sock' % directory)
                f = s.makefile('rw')
                f.readline()
                for request in ({'execute': 'qmp_capabilities'}, {'execute': command, 'arguments': arguments}):
                    f.write(json.dumps(request))
                    f.flush()
                    while True:
                        answer = json.loads(f.readline())
                        if 'error' in answer:
                            raise LabError('qmp %s: %s' % (command, answer['error']['desc']))
                        if 'return' in answer:
                            break
        finally:
            os.close(directory)

    def delay(self, milliseconds):
        """From now on what it sends on DRBD's interface leaves so much later."""
        change = 'replace dev $i root netem delay %dms limit 20000' % milliseconds
        change = change if milliseconds else 'del dev $i root'
        self.sh('i=$(cat /run/drbd-interface); /sbin/tc qdisc ' + change, 10)

    # --- DRBD

    def configure(self, protocol, net, peer_port, disk=''):
        """Writes r0's configuration; the peer is looked for at this port of the host."""
        self.sh('cat >/etc/drbd.conf', stdin=b'''global { usage-count no; }
resource r0 {
  device /dev/drbd0; disk /dev/vda; meta-disk internal;
  net { protocol %s; %s }
  disk { c-plan-ahead 0; resync-rate 400M; %s }
  on %s { address 10.0.2.15:%d; }
  on %s { address 10.0.2.2:%d; }
}
''' % (protocol.encode(), net.encode(), disk.encode(), self.name.encode(), DRBD_PORT, self.peer.encode(), peer_port))

    def resize(self, size):
        """Gives its disk another size, and waits until its kernel has heard of it."""
        self.qmp('block_resize', device='b', size=size)
        self.sh('while [ $(cat /sys/class/block/vda/size) != %d ]; do usleep 20000; done' % (size // 512), 10)

    def state(self):
        """{'cs': …, 'ro': …, 'ds': …, 'proto': …, counters} of r0; empty when it is down."""
        m = re.search(r'^ *0: cs:(\S+)(?: ro:(\S+) ds:(\S+) (\S) \S+)?(.*)', self.sh('cat /proc/drbd'), re.M | re.S)
        if not m:
            return {}
        state = {key: value for key, value in zip(('cs', 'ro', 'ds', 'proto'), m.groups()) if value}
        state.update(re.findall(r'\b([a-z]{2,3}):(\w+)', m.group(5)))
        return state

    def wait(self, regex, timeout=60):
        """Until /proc/drbd matches, looked at in the guest every 20 ms; the seconds it took."""
        begin = time.monotonic()
        status, _ = self.run('while ! grep -Eq "$(echo %s | base64 -d)" /proc/drbd; do usleep 20000; done'
                             % base64.b64encode(regex.encode()).decode(), timeout)
        if status:
            raise LabError('%s: /proc/drbd is not /%s/ in %d s:\n%s'
                           % (self.name, regex, timeout, self.sh('cat /proc/drbd')))
        return time.monotonic() - begin

    def wait_console(self, regex, since, timeout=60):
        """Until its kernel said something that matches, from position `since` on; the match."""
        end = time.monotonic() + timeout
        while True:
            m = re.search(regex, self.console()[since:])
            if m:
                return m
            if time.monotonic() > end:
                raise LabError('%s: its kernel did not say /%s/ in %d s' % (self.name, regex, timeout))
            time.sleep(0.02)
