//! What can be asked of the ring, with everything the kernel needs meanwhile.
//!
//! Owns: [`Operation`], [`Message`] and [`Completed`].
//! Never: borrows; an operation holds its descriptor and its buffer.
//! Invariants: buffers are on the heap and not resized while the kernel has them.
//! Source: runtime.md section 6.3, ADR-0002.
#![expect(
    unsafe_code,
    reason = "adopts descriptors and bytes the kernel filled in"
)]

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use api::ChunkSink;
use bytes::BytesMut;
use io_uring::{opcode, squeue, types};
use model::ids::ConnectionId;
use model::time::Instant;
use storage::IoId;

use super::WOKEN;
use crate::disk::pool::AlignedBuffer;
use crate::waker::Waker;

/// Chunks of one vectored send. The kernel's `UIO_MAXIOV`.
const VECTORS_MAX: usize = 1024;
/// Bytes of one receive, so that its result fits an `i32`.
const RECEIVE_BYTES_MAX: usize = 1 << 30;

/// What is sent by one vectored send, and the memory that describes it to the kernel.
pub(crate) struct Message {
    /// What is to be sent, oldest first.
    pub(crate) sink: ChunkSink,
    vectors: Vec<libc::iovec>,
    header: libc::msghdr,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("bytes", &self.sink.bytes())
            .finish_non_exhaustive()
    }
}

impl Message {
    /// An empty message. Boxed, because the kernel keeps the address of its header.
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            sink: ChunkSink::default(),
            vectors: Vec::new(),
            header: libc::msghdr {
                msg_name: std::ptr::null_mut(),
                msg_namelen: 0,
                msg_iov: std::ptr::null_mut(),
                msg_iovlen: 0,
                msg_control: std::ptr::null_mut(),
                msg_controllen: 0,
                msg_flags: 0,
            },
        })
    }

    fn describe(&mut self) -> *const libc::msghdr {
        self.vectors.clear();
        self.vectors.extend(
            self.sink
                .chunks()
                .take(VECTORS_MAX)
                .map(|chunk| libc::iovec {
                    iov_base: chunk.as_ptr().cast_mut().cast(),
                    iov_len: chunk.len(),
                }),
        );
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = self.vectors.len();
        &raw const self.header
    }
}

/// One operation.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Accept connections until told otherwise.
    Accept {
        /// Where.
        listener: Rc<TcpListener>,
    },
    /// Receive into the spare capacity of `buffer`.
    Receive {
        /// Whose.
        connection: ConnectionId,
        /// From where.
        socket: Rc<TcpStream>,
        /// Appended to; has spare capacity.
        buffer: BytesMut,
    },
    /// Send the front of the message.
    Send {
        /// Whose.
        connection: ConnectionId,
        /// To where.
        socket: Rc<TcpStream>,
        /// What.
        message: Box<Message>,
    },
    /// Write `len` bytes of `buffer`, durably.
    Write {
        /// Correlation.
        id: IoId,
        /// To where.
        file: Arc<std::fs::File>,
        /// What.
        buffer: AlignedBuffer,
        /// Bytes to write.
        len: u32,
        /// Byte position in the file.
        position: u64,
        /// When it was started.
        started: Instant,
    },
    /// Write part of some memory that others are written from too; not durable by itself.
    Fill {
        /// Correlation.
        index: usize,
        /// To where.
        file: Arc<std::fs::File>,
        /// Changed by nobody meanwhile: it is shared.
        memory: Arc<AlignedBuffer>,
        /// First byte of the part.
        start: usize,
        /// Bytes to write.
        len: u32,
        /// Byte position in the file.
        position: u64,
    },
    /// Read up to `len` bytes into `buffer`, after the `filled` that are there.
    Read {
        /// Correlation.
        id: IoId,
        /// From where.
        file: Arc<std::fs::File>,
        /// Into.
        buffer: AlignedBuffer,
        /// Bytes of the buffer that are there.
        filled: u32,
        /// Bytes wanted in all.
        len: u32,
        /// Byte position of the buffer's start in the file.
        position: u64,
    },
    /// Wait for this core's event descriptor.
    Event {
        /// Of this core.
        waker: Arc<Waker>,
        /// Where the kernel puts the counter.
        count: Box<[u8; 8]>,
    },
    /// Post a completion to a peer's ring.
    Wake {
        /// The peer.
        peer: Arc<Waker>,
    },
}

impl Operation {
    /// The submission entry. Its pointers are good while `self` lives and is not changed.
    pub(super) fn entry(&mut self) -> squeue::Entry {
        match self {
            Self::Accept { listener } => opcode::AcceptMulti::new(fd(&**listener))
                .flags(libc::SOCK_CLOEXEC)
                .build(),
            Self::Receive { socket, buffer, .. } => {
                let spare = buffer.spare_capacity_mut();
                assert!(!spare.is_empty(), "nowhere to receive to");
                let len = u32::try_from(spare.len().min(RECEIVE_BYTES_MAX)).unwrap_or(u32::MAX);
                opcode::Recv::new(fd(&**socket), spare.as_mut_ptr().cast(), len).build()
            }
            Self::Send {
                socket, message, ..
            } => {
                assert!(message.sink.bytes() > 0, "nothing to send");
                opcode::SendMsg::new(fd(&**socket), message.describe())
                    .flags(libc::MSG_NOSIGNAL.cast_unsigned())
                    .build()
            }
            Self::Write {
                file,
                buffer,
                len,
                position,
                ..
            } => {
                assert!(*len as usize <= buffer.len(), "write beyond the buffer");
                opcode::Write::new(fd(&**file), buffer.bytes().as_ptr(), *len)
                    .offset(*position)
                    .rw_flags(crate::disk::faults::write_flags())
                    .build()
            }
            Self::Fill {
                file,
                memory,
                start,
                len,
                position,
                ..
            } => {
                let part = memory.bytes().get(*start..*start + *len as usize);
                assert!(part.is_some(), "write beyond the memory");
                let part = part.unwrap_or_default();
                opcode::Write::new(fd(&**file), part.as_ptr(), *len)
                    .offset(*position)
                    .build()
            }
            Self::Read {
                file,
                buffer,
                filled,
                len,
                position,
                ..
            } => {
                assert!(*len as usize <= buffer.len(), "read beyond the buffer");
                assert!(*filled < *len, "nothing left to read");
                let rest = buffer.bytes_mut().split_at_mut(*filled as usize).1;
                opcode::Read::new(fd(&**file), rest.as_mut_ptr(), *len - *filled)
                    .offset(*position + u64::from(*filled))
                    .build()
            }
            Self::Event { waker, count } => {
                opcode::Read::new(types::Fd(waker.event_fd()), count.as_mut_ptr(), 8).build()
            }
            Self::Wake { peer } => {
                let ring = peer.ring_fd();
                assert!(ring.is_some(), "the peer has no ring");
                opcode::MsgRingData::new(types::Fd(ring.unwrap_or(-1)), 0, WOKEN, None).build()
            }
        }
    }

    /// What the final completion means.
    pub(super) fn finish(self, result: i32) -> Completed {
        match self {
            Self::Accept { .. } => accepted(result, Armed::NoLonger),
            Self::Receive {
                connection,
                mut buffer,
                ..
            } => {
                let result = count(result);
                if let Ok(received) = result {
                    assert!(
                        received <= buffer.capacity() - buffer.len(),
                        "received too much"
                    );
                    // SAFETY: the kernel filled exactly `received` bytes after the present length, within
                    // the capacity, as its completion says.
                    unsafe { buffer.set_len(buffer.len() + received) };
                }
                Completed::Received {
                    connection,
                    buffer,
                    result,
                }
            }
            Self::Send {
                connection,
                message,
                ..
            } => Completed::Sent {
                connection,
                message,
                result: count(result),
            },
            Self::Write {
                id,
                buffer,
                len,
                started,
                ..
            } => Completed::Written {
                id,
                buffer,
                len,
                started,
                result: count(result),
            },
            Self::Fill { index, .. } => Completed::Filled {
                index,
                result: count(result),
            },
            Self::Read {
                id,
                file,
                buffer,
                filled,
                len,
                position,
            } => Completed::Read {
                read: PartialRead {
                    id,
                    file,
                    buffer,
                    filled,
                    len,
                    position,
                },
                result: count(result),
            },
            Self::Event { waker, count } => Completed::Event { waker, count },
            Self::Wake { peer } if result < 0 => Completed::WakeFailed { peer },
            Self::Wake { .. } => Completed::Woken,
        }
    }
}

fn fd(descriptor: &impl AsRawFd) -> types::Fd {
    types::Fd(descriptor.as_raw_fd())
}

fn count(result: i32) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| -result)
}

/// Whether an accept goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Armed {
    /// More completions come.
    Still,
    /// It must be started again.
    NoLonger,
}

/// What a completion of an accept means.
pub(super) fn accepted(result: RawFd, armed: Armed) -> Completed {
    let result = if result < 0 {
        Err(-result)
    } else {
        // SAFETY: the kernel opened this descriptor for us with this completion and nobody else knows it.
        Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(result) }))
    };
    Completed::Accepted { result, armed }
}

/// A read, possibly not complete.
#[derive(Debug)]
pub(crate) struct PartialRead {
    /// Correlation.
    pub(crate) id: IoId,
    /// From where.
    pub(crate) file: Arc<std::fs::File>,
    /// Into.
    pub(crate) buffer: AlignedBuffer,
    /// Bytes of the buffer that were there before.
    pub(crate) filled: u32,
    /// Bytes wanted in all.
    pub(crate) len: u32,
    /// Byte position of the buffer's start in the file.
    pub(crate) position: u64,
}

/// How an operation ended. Errors are plain errno values.
#[derive(Debug)]
pub(crate) enum Completed {
    /// An accept gave a connection or an error.
    Accepted {
        /// The connection.
        result: Result<TcpStream, i32>,
        /// Whether more come.
        armed: Armed,
    },
    /// A receive ended; zero bytes mean that the peer is done.
    Received {
        /// Whose.
        connection: ConnectionId,
        /// With the bytes.
        buffer: BytesMut,
        /// How many.
        result: Result<usize, i32>,
    },
    /// A send ended, possibly short.
    Sent {
        /// Whose.
        connection: ConnectionId,
        /// Still with everything; not consumed yet.
        message: Box<Message>,
        /// How many bytes.
        result: Result<usize, i32>,
    },
    /// A write ended.
    Written {
        /// Correlation.
        id: IoId,
        /// To be given back.
        buffer: AlignedBuffer,
        /// Bytes asked for.
        len: u32,
        /// When it was started.
        started: Instant,
        /// Bytes written.
        result: Result<usize, i32>,
    },
    /// A write from shared memory ended, possibly short.
    Filled {
        /// Which.
        index: usize,
        /// Bytes written.
        result: Result<usize, i32>,
    },
    /// A read ended, possibly short.
    Read {
        /// What is there.
        read: PartialRead,
        /// Bytes added.
        result: Result<usize, i32>,
    },
    /// Somebody without a ring woke this core.
    Event {
        /// To start it again.
        waker: Arc<Waker>,
        /// To start it again.
        count: Box<[u8; 8]>,
    },
    /// A peer woke this core, or this core woke a peer: nothing to do.
    Woken,
    /// A peer's ring took no message; its event descriptor must be used.
    WakeFailed {
        /// The peer.
        peer: Arc<Waker>,
    },
}
