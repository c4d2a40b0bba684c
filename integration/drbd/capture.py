"""What goes over the loopback, recorded and dissected by Wireshark."""
import os, shutil, signal, subprocess, time

from guests import LabError, Process


class Capture:
    """Records the TCP connections of these ports, from when it is made until stop()."""

    def __init__(self, ports, directory):
        self.file, self.log = os.path.join(directory, 'lo.pcapng'), os.path.join(directory, 'capture.log')
        wanted = ' or '.join('tcp port %d' % port for port in ports)
        if not shutil.which('dumpcap'):
            raise LabError('no dumpcap: apt-get install tshark')
        self.process = Process(['dumpcap', '-q', '-i', 'lo', '-B', '64', '-f', wanted, '-w', self.file], directory, self.log)
        end = time.monotonic() + 10
        while not os.path.exists(self.file):   # made when it listens
            if not self.process.alive() or time.monotonic() > end:
                raise LabError('dumpcap does not start, see %s' % self.log)
            time.sleep(0.02)

    def stop(self):
        self.process.send(signal.SIGINT)
        self.process.ended(20)
        with open(self.log, errors='replace') as f:
            dropped = [line.strip() for line in f if 'dropped' in line.lower()]
        return dropped[-1] if dropped else ''
