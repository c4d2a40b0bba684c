"""Two hosts with a real network between them: each a network and host name of its own, in which one guest and its
relay meet, joined by a cable over which the relays meet. Needs root. The addresses are those of bsr-wire A.8."""
import os, socket, subprocess, time

from guests import LabError, Process

# Opens a tap device, and hands it over a socket: QEMU stays outside, where commands for guests go.
OPEN_TAP = '''
import fcntl, os, socket, struct, sys
tap = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH14x', b'bsr', 0x1002))   # TUNSETIFF: IFF_TAP | IFF_NO_PI
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b'.'], [tap])
'''


class Host:
    """Host n: 10.77.n.1 towards its guest, which is 10.77.n.2, and 10.77.9.n towards the other host."""

    def __init__(self, n, directory):
        self.n, self.name = n, 'node%d' % n
        # It holds the namespaces, and they end with it.
        hold = 'hostname %s; exec sleep infinity' % self.name
        self.process = Process(['unshare', '--net', '--uts', 'sh', '-c', hold], directory,
                               os.path.join(directory, 'host%d.log' % n))
        self.prefix = ['nsenter', '-t', str(self.process.popen.pid), '--net', '--uts']
        end = time.monotonic() + 10
        while self.run(['hostname'], check=False).stdout.strip() != self.name:
            if not self.process.alive() or time.monotonic() > end:
                raise LabError('no namespaces for host %d (root is needed)' % n)
            time.sleep(0.02)
        for command in ('ip link set lo up', 'ip tuntap add dev bsr mode tap',
                        'ip addr add 10.77.%d.1/24 dev bsr' % n, 'ip link set bsr up'):
            self.run(command.split())

    def run(self, argv, check=True, **options):
        """Runs a program there; what it said, and its status."""
        done = subprocess.run(self.prefix + argv, capture_output=True, text=True, timeout=30, **options)
        if check and done.returncode:
            raise LabError('%s: status %d: %s: %s%s' % (self.name, done.returncode, ' '.join(argv), done.stdout,
                                                        done.stderr))
        return done

    def tap(self):
        """The network card of its guest, an open file."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(10)
            self.run(['python3', '-c', OPEN_TAP, str(theirs.fileno())], pass_fds=[theirs.fileno()])
            return socket.recv_fds(ours, 1, 1)[1][0]


def joined(directory):
    """Two hosts, and the cable between them."""
    one, two = hosts = [Host(n, directory) for n in (1, 2)]
    one.run(['ip', 'link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'wan', 'netns', str(two.process.popen.pid)])
    for host in hosts:
        host.run(['ip', 'addr', 'add', '10.77.9.%d/24' % host.n, 'dev', 'wan'])
        host.run(['ip', 'link', 'set', 'wan', 'up'])
    return hosts
