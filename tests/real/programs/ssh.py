"""An SSH server and an SSH client of Conch: commands are run through the one and asked for by the other."""

import sys

from cryptography.hazmat.primitives.asymmetric import ed25519
from twisted.conch.avatar import ConchUser
from twisted.conch.client.knownhosts import KnownHostsFile
from twisted.conch.endpoints import SSHCommandClientEndpoint
from twisted.conch.interfaces import ISession
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.session import SSHSession
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.python.components import registerAdapter
from zope.interface import implementer

KEY = Key(ed25519.Ed25519PrivateKey.generate())


@implementer(ISession)
class Shell:
    def __init__(self, user):
        pass

    def execCommand(self, protocol, command):
        self.child = reactor.spawnProcess(protocol, "/bin/sh", ["sh", "-c", command], env={"PATH": "/bin:/usr/bin"})

    def getPty(self, term, size, modes):
        pass

    def openShell(self, protocol):
        raise NotImplementedError

    def windowChanged(self, size):
        pass

    def eofReceived(self):
        self.child.closeStdin()

    def closed(self):
        pass


registerAdapter(Shell, ConchUser, ISession)


@implementer(IRealm)
class Realm:
    def requestAvatar(self, name, mind, *interfaces):
        user = ConchUser()
        user.channelLookup[b"session"] = SSHSession
        return interfaces[0], user, lambda: None


class Login(SSHUserAuthServer):
    passwordDelay = 0
    attemptsBeforeDisconnect = 1


class Server(SSHFactory):
    publicKeys = {b"ssh-ed25519": KEY.public()}
    privateKeys = {b"ssh-ed25519": KEY}
    services = {b"ssh-userauth": Login, b"ssh-connection": SSHConnection}

    def __init__(self):
        self.portal = Portal(Realm(), [InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")])


class Trusting(KnownHostsFile):
    """The server's key is known to be right; nothing is read or written."""

    def __init__(self):
        super().__init__(None)

    def verifyHostKey(self, ui, hostname, ip, key):
        return succeed(key == KEY.public())


class Output(Protocol):
    def connectionMade(self):
        self.said = b""
        if self.factory.typed is not None:
            self.transport.write(self.factory.typed)
            self.transport.conn.sendEOF(self.transport)

    def dataReceived(self, data):
        self.said += data

    def connectionLost(self, reason):
        self.factory.over.callback((self.said, reason))


async def command(make, line, typed=None):
    factory = Factory.forProtocol(Output)
    factory.typed = typed
    factory.over = Deferred()
    await make(line).connect(factory)
    said, reason = await factory.over
    return said, getattr(reason.value, "exitCode", reason.type.__name__)


async def main():
    port = reactor.listenTCP(0, Server(), interface="127.0.0.1")

    def fresh(line, password=b"secret"):
        return SSHCommandClientEndpoint.newConnection(
            reactor, line, b"alice", "127.0.0.1", port.getHost().port,
            keys=[], password=password, agentEndpoint=None, knownHosts=Trusting(), ui=None,
        )  # fmt: skip

    said, code = await command(fresh, b"echo hello; exit 7")
    print("command:", said, code)

    said, code = await command(fresh, b"cat; exit 0", b"typed\n" * 20000)
    print("typed:", len(said), code)

    said, code = await command(fresh, b"head -c 1000000 /dev/zero")
    print("much:", len(said), code)

    first = Deferred()

    class Waiting(Output):
        def dataReceived(self, data):
            super().dataReceived(data)
            if not first.called:
                first.callback(self)

    factory = Factory.forProtocol(Waiting)
    factory.typed, factory.over = None, Deferred()
    await fresh(b"echo ready; exec cat").connect(factory)
    waiting = await first
    connection = waiting.transport.conn

    def shared(line):
        return SSHCommandClientEndpoint.existingConnection(connection, line)

    several = [ensureDeferred(command(shared, b"echo %d; exit %d" % (number, number))) for number in range(10)]
    print("on one connection:", await gatherResults(several))
    waiting.transport.loseConnection()
    said, _ = await factory.over
    print("dropped:", said)

    try:
        await command(lambda line: fresh(line, b"wrong"), b"true")
    except Exception as error:
        print("wrong password:", type(error).__name__)
    await port.stopListening()


def start():
    print(type(reactor).__name__, Deferred.__module__)
    done = ensureDeferred(main())
    done.addErrback(lambda failure: failure.printTraceback(sys.stderr))
    done.addBoth(lambda _: reactor.stop())


reactor.callWhenRunning(start)
reactor.run()
