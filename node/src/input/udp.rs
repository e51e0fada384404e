//! Datagrams in: unicast or multicast, raw transport stream or RTP, told apart packet by packet.
//!
//! Shell. [`UdpReceiver`] opens and joins, receives in batches (`recvmmsg`, because the bill at real pace is per
//! wake-up), puts RTP in order through [`super::rtp`] and hands bytes on. It does not find packet boundaries, keep
//! state for reports or retry: a plain thread of [`super::set`] drives it. Raw framing is recognised by the sync byte
//! 0x47 (ISO/IEC 13818-1 §2.4.3.2), RTP by version 2 in the top bits (RFC 3550 §5.1); the two never collide.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::address::{Interface, UdpFeed};
use super::rtp::{Ordered, Reorder, RtpCounts, Window};

/// Socket buffer asked for: half a second of a 60 Mbit/s multiplex, twice over.
pub const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// Datagrams taken per call; a full batch is followed by another at once.
const BATCH: usize = 32;
/// A jumbo frame's worth. Encoders send 7 packets (1,316 bytes); longer datagrams are cut and counted.
const DATAGRAM_BYTES: usize = 9216;
const SYNC_BYTE: u8 = 0x47;

/// Why a receiver could not be opened or stopped working.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// No socket of this kind can be had.
    #[error("cannot open a socket for {feed}")]
    Socket {
        /// What was to be received.
        feed: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The port is taken, or the address is not ours.
    #[error("cannot listen on {at}")]
    Bind {
        /// Address and port.
        at: SocketAddr,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The named interface does not exist (now).
    #[error("network interface {interface} does not exist")]
    Interface {
        /// As typed.
        interface: String,
    },
    /// The group could not be joined.
    #[error("cannot join group {group} on {interface}")]
    Join {
        /// The group.
        group: IpAddr,
        /// Interface, or "the default interface".
        interface: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Receiving failed.
    #[error("receiving on port {port} failed")]
    Receive {
        /// Our port.
        port: u16,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// What a receiver hands on, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes of the stream, packet boundaries not checked.
    Bytes(&'a [u8]),
    /// RTP packets given up before the next bytes.
    Lost(u64),
    /// The RTP sender started anew.
    Restarted,
}

/// Counts since the receiver was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounts {
    /// Datagrams received.
    pub datagrams: u64,
    /// Datagrams the kernel dropped because we were slow (`SO_RXQ_OVFL`).
    pub kernel_drops: u64,
    /// Datagrams longer than we take; their end is lost.
    pub cut: u64,
    /// RTP's own figures.
    pub rtp: RtpCounts,
}

/// An open receiver.
pub struct UdpReceiver {
    socket: Socket,
    port: u16,
    granted_bytes: usize,
    memory: Box<[u8]>,
    reorder: Reorder,
    /// Whether RTP was seen: then a datagram of neither framing is a defect, else it may be an odd raw framing.
    saw_rtp: bool,
    last_drop_count: u32,
    counts: UdpCounts,
}

impl UdpReceiver {
    /// Opens, binds and, for a group, joins. `buffer_bytes` of socket buffer are asked for, by force when we may.
    ///
    /// # Errors
    /// Names the step that failed and what it was tried with.
    pub fn open(feed: &UdpFeed, buffer_bytes: usize) -> Result<Self, UdpError> {
        let at = listening_address(feed)?;
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))
            .map_err(|source| UdpError::Socket { feed: feed.to_string(), source })?;
        let bind = |source| UdpError::Bind { at, source };
        if feed.address.is_multicast() {
            // Several groups share a port, and other programs may listen to the same group.
            socket.set_reuse_address(true).map_err(bind)?;
        }
        grow_buffer(&socket, buffer_bytes);
        let granted_bytes = socket.recv_buffer_size().map_err(bind)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1).map_err(|errno| bind(errno.into()))?;
        // Binding to the group itself keeps other groups of the same port out (Linux, ip(7)).
        socket.bind(&at.into()).map_err(bind)?;
        if feed.address.is_multicast() {
            join(&socket, feed)?;
        }
        let port = socket.local_addr().map_err(bind)?.as_socket().map_or(feed.port, |local| local.port());
        Ok(Self {
            socket,
            port,
            granted_bytes,
            memory: vec![0; BATCH * DATAGRAM_BYTES].into_boxed_slice(),
            reorder: Reorder::new(Window::default()),
            saw_rtp: false,
            last_drop_count: 0,
            counts: UdpCounts::default(),
        })
    }

    /// The port we listen on; the system's choice when 0 was asked for.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Socket buffer the kernel granted, in its own accounting (twice the usable bytes, socket(7)).
    #[must_use]
    pub fn granted_bytes(&self) -> usize {
        self.granted_bytes
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> UdpCounts {
        UdpCounts { rtp: self.reorder.counts(), ..self.counts }
    }

    /// Waits up to `wait` for a datagram; answers whether there is one.
    ///
    /// # Errors
    /// The socket is unusable; open another.
    pub fn wait(&self, wait: Duration) -> Result<bool, UdpError> {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        match nix::poll::poll(&mut fds, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(self.failed(errno)),
        }
    }

    /// Takes all datagrams that are here, without waiting, at monotonic `now_ms`; calls `emit` for what is in order.
    /// Call it also when nothing came: RTP packets held too long are let out.
    ///
    /// # Errors
    /// The socket is unusable; open another.
    pub fn receive(&mut self, now_ms: u64, emit: &mut dyn FnMut(Piece<'_>)) -> Result<(), UdpError> {
        // A bound on the rounds keeps a flood from starving the caller's stop check.
        for _ in 0..64 {
            let taken = match take_batch(&self.socket, &mut self.memory) {
                Ok(taken) => taken,
                Err(Errno::EAGAIN | Errno::EINTR) => Vec::new(),
                Err(errno) => return Err(self.failed(errno)),
            };
            for (index, datagram) in taken.iter().enumerate() {
                self.counts.datagrams += 1;
                self.counts.cut += u64::from(datagram.cut);
                if let Some(drops) = datagram.drops {
                    self.counts.kernel_drops += u64::from(drops.wrapping_sub(self.last_drop_count));
                    self.last_drop_count = drops;
                }
                let start = index * DATAGRAM_BYTES;
                let bytes = &self.memory[start..start + datagram.bytes.min(DATAGRAM_BYTES)];
                sort_out(&mut self.reorder, &mut self.saw_rtp, bytes, now_ms, emit);
            }
            if taken.len() < BATCH {
                break;
            }
        }
        self.reorder.tick(now_ms, &mut |ordered| emit(piece(ordered)));
        Ok(())
    }

    fn failed(&self, errno: Errno) -> UdpError {
        UdpError::Receive { port: self.port, source: errno.into() }
    }
}

/// Hands one datagram on by its framing.
fn sort_out(reorder: &mut Reorder, saw_rtp: &mut bool, bytes: &[u8], now_ms: u64, emit: &mut dyn FnMut(Piece<'_>)) {
    let first = bytes.first().copied().unwrap_or(SYNC_BYTE);
    if first == SYNC_BYTE || (first >> 6 != 2 && !*saw_rtp) {
        emit(Piece::Bytes(bytes));
        return;
    }
    match reorder.push(bytes, now_ms, &mut |ordered| emit(piece(ordered))) {
        Ok(()) => *saw_rtp = true,
        // Raw bytes that are not packet-aligned may begin with anything; the resync behind us sorts them out.
        Err(_) if !*saw_rtp => emit(Piece::Bytes(bytes)),
        Err(_) => {}
    }
}

fn piece(ordered: Ordered<'_>) -> Piece<'_> {
    match ordered {
        Ordered::Payload(bytes) => Piece::Bytes(bytes),
        Ordered::Lost(count) => Piece::Lost(count),
        Ordered::Restarted => Piece::Restarted,
    }
}

struct Datagram {
    bytes: usize,
    cut: bool,
    /// The kernel's drop counter of the socket, when it is not zero.
    drops: Option<u32>,
}

fn take_batch(socket: &Socket, memory: &mut [u8]) -> Result<Vec<Datagram>, Errno> {
    // Made anew each time: the kernel writes the control lengths back, and a reused header would offer it no room.
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, Some(nix::cmsg_space!(u32)));
    let mut slices: Vec<_> = memory.chunks_mut(DATAGRAM_BYTES).map(|chunk| [IoSliceMut::new(chunk)]).collect();
    let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
    let describe = |message: nix::sys::socket::RecvMsg<'_, '_, SockaddrStorage>| {
        let drops = message.cmsgs().ok().and_then(|mut messages| {
            messages.find_map(|control| match control {
                ControlMessageOwned::RxqOvfl(drops) => Some(drops),
                _ => None,
            })
        });
        Datagram { bytes: message.bytes, cut: message.flags.contains(MsgFlags::MSG_TRUNC), drops }
    };
    Ok(received.map(describe).collect())
}

/// The address to bind: groups of interface and link scope (RFC 4291 §2.7) mean nothing without their interface.
fn listening_address(feed: &UdpFeed) -> Result<SocketAddr, UdpError> {
    match (feed.address, &feed.interface) {
        (IpAddr::V6(group), Some(interface)) => {
            Ok(SocketAddrV6::new(group, feed.port, 0, interface_index(interface)?).into())
        }
        (address, _) => Ok(SocketAddr::new(address, feed.port)),
    }
}

/// `SO_RCVBUFFORCE` passes the system's limit but needs `CAP_NET_ADMIN`; what was granted is read back and reported.
fn grow_buffer(socket: &Socket, bytes: usize) {
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        socket.set_recv_buffer_size(bytes).ok();
    }
}

fn join(socket: &Socket, feed: &UdpFeed) -> Result<(), UdpError> {
    let interface = feed.interface.as_ref();
    let joined = match feed.address {
        IpAddr::V4(group) => {
            let on = match interface {
                Some(Interface::Address(IpAddr::V4(address))) => InterfaceIndexOrAddress::Address(*address),
                Some(interface) => InterfaceIndexOrAddress::Index(interface_index(interface)?),
                None => InterfaceIndexOrAddress::Index(0),
            };
            // Only what this socket joined, not what any program of this machine joined elsewhere (ip(7)).
            socket.set_multicast_all_v4(false).and_then(|()| socket.join_multicast_v4_n(&group, &on))
        }
        IpAddr::V6(group) => {
            let index = interface.map_or(Ok(0), interface_index)?;
            socket.set_multicast_all_v6(false).and_then(|()| socket.join_multicast_v6(&group, index))
        }
    };
    joined.map_err(|source| UdpError::Join {
        group: feed.address,
        interface: interface.map_or_else(|| "the default interface".to_owned(), ToString::to_string),
        source,
    })
}

/// The kernel's number of an interface, by its name or by one of its addresses.
fn interface_index(interface: &Interface) -> Result<u32, UdpError> {
    let missing = || UdpError::Interface { interface: interface.to_string() };
    let name = match interface {
        Interface::Name(name) => name.clone(),
        Interface::Address(address) => nix::ifaddrs::getifaddrs()
            .map_err(|_| missing())?
            .find(|entry| entry.address.is_some_and(|storage| ip_of(&storage) == Some(*address)))
            .map(|entry| entry.interface_name)
            .ok_or_else(missing)?,
    };
    nix::net::if_::if_nametoindex(name.as_str()).map_err(|_| missing())
}

fn ip_of(storage: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

#[cfg(test)]
mod tests;
