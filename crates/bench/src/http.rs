//! Just enough HTTP/1.1 with keep-alive for a load that must cost little beside what it measures.
//!
//! One buffer per direction, reused from message to message; what is read is lent from the buffer, never copied. Not here, since no
//! peer of the benchmark needs it: bodies that end with the connection, interim replies, pipelining by the client.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use httparse::{Header, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than any peer sends.
const HEADERS_MAX: usize = 64;

/// The longest head and the longest body that are taken: a page of metrics is the longest there is.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Room for several messages of the usual size. A read that does not fill its buffer tells tokio that nothing is left, which saves
/// the read that would find out.
const BUFFER_BYTES: usize = 8 << 10;

/// A connection that carries one message after the other, as client or as server.
///
/// After an error, and after a future of it was dropped halfway, it is of no more use.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What has come. The message handed out last ends at `used`.
    received: Vec<u8>,
    used: usize,
    sending: Vec<u8>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// What a client asked for. Its body has been read, and is not kept apart: no server here looks at it.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    /// Path and query, as they were sent.
    pub(crate) target: &'a str,
}

/// What the head of a message says about the rest.
struct Head {
    /// Where the body begins.
    end: usize,
    body: BodyLength,
}

enum BodyLength {
    Bytes(usize),
    Chunked,
    NotSaid,
}

impl Connection {
    /// As client of this server.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) async fn open(server: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(server).await?)
    }

    /// Over a stream that was accepted.
    ///
    /// # Errors
    /// The stream has ended already.
    pub(crate) fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::with_capacity(BUFFER_BYTES),
            used: 0,
            sending: Vec::with_capacity(BUFFER_BYTES),
        })
    }

    /// Whether the other end has left it open, as far as is known here; costs no system call unless something has happened.
    pub(crate) fn is_open(&self) -> bool {
        let nothing_yet = |error: &io::Error| error.kind() == ErrorKind::WouldBlock;
        self.stream.try_read(&mut [0]).is_err_and(|error| nothing_yet(&error))
    }

    /// Sends JSON and waits for the reply.
    ///
    /// # Errors
    /// The connection broke, or the reply is not HTTP.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> io::Result<Reply<'_>> {
        use std::io::Write;
        self.sending.clear();
        write!(
            self.sending,
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        self.stream.write_all(&self.sending).await?;
        self.reply().await
    }

    /// Asks for what is there and waits for the reply.
    ///
    /// # Errors
    /// As [`Connection::post`].
    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Reply<'_>> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        self.reply().await
    }

    /// The next request; `None` once the client has closed the connection between two of them.
    ///
    /// # Errors
    /// The connection broke, or what came is not HTTP.
    pub(crate) async fn next_request(&mut self) -> io::Result<Option<Incoming<'_>>> {
        self.forget_used();
        while self.received.is_empty() {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        }
        let head = loop {
            match parse_request(&self.received)? {
                Some(head) => break head,
                None => self.receive_more().await?,
            }
        };
        self.receive_body(&head).await?;
        Ok(Some(Incoming { target: request_target(&self.received) }))
    }

    /// Sends a whole reply, head and body.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) async fn answer(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(reply.as_bytes()).await
    }

    async fn reply(&mut self) -> io::Result<Reply<'_>> {
        self.forget_used();
        let (status, head) = loop {
            match parse_reply(&self.received)? {
                Some(parsed) => break parsed,
                None => self.receive_more().await?,
            }
        };
        if matches!(head.body, BodyLength::NotSaid) {
            return Err(invalid("a reply does not say how long it is"));
        }
        let end = self.receive_body(&head).await?;
        Ok(Reply { status, body: &self.received[head.end..end] })
    }

    /// Waits for the rest of the message, and returns where its body ends.
    async fn receive_body(&mut self, head: &Head) -> io::Result<usize> {
        let length = match head.body {
            BodyLength::Chunked => return self.receive_chunks(head.end).await,
            BodyLength::Bytes(length) => length,
            BodyLength::NotSaid => 0,
        };
        let end = head.end + length;
        self.receive_until(end).await?;
        self.used = end;
        Ok(end)
    }

    /// Waits for all chunks and joins them in place, from `begin`; returns where the joined body ends.
    async fn receive_chunks(&mut self, begin: usize) -> io::Result<usize> {
        let (mut joined, mut next) = (begin, begin);
        loop {
            let (line, size) = match httparse::parse_chunk_size(&self.received[next..]) {
                Ok(Status::Complete((line, size))) => (line, usize::try_from(size).unwrap_or(usize::MAX)),
                Ok(Status::Partial) => {
                    self.receive_more().await?;
                    continue;
                }
                Err(_) => return Err(invalid("a chunk without size")),
            };
            let data = next + line;
            if size == 0 {
                self.used = self.receive_trailers(data).await?;
                return Ok(joined);
            }
            let end = data.saturating_add(size).saturating_add(b"\r\n".len());
            self.receive_until(end).await?;
            self.received.copy_within(data..data + size, joined);
            joined += size;
            next = end;
        }
    }

    /// Waits for the empty line behind the last chunk, and returns where it ends.
    async fn receive_trailers(&mut self, begin: usize) -> io::Result<usize> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            match httparse::parse_headers(&self.received[begin..], &mut headers).map_err(not_http)? {
                Status::Complete((length, _)) => return Ok(begin + length),
                Status::Partial => self.receive_more().await?,
            }
        }
    }

    async fn receive_until(&mut self, end: usize) -> io::Result<()> {
        if end > MESSAGE_BYTES_MAX {
            return Err(invalid("a message is too long"));
        }
        while self.received.len() < end {
            self.receive_more().await?;
        }
        Ok(())
    }

    async fn receive_more(&mut self) -> io::Result<()> {
        if self.received.len() > MESSAGE_BYTES_MAX {
            return Err(invalid("a message is too long"));
        }
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the connection was closed before the message was complete",
            )),
            _ => Ok(()),
        }
    }

    fn forget_used(&mut self) {
        self.received.drain(..self.used);
        self.used = 0;
        self.received.reserve(BUFFER_BYTES / 2);
    }
}

/// The head of a request, if it is complete.
fn parse_request(received: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(received).map_err(not_http)? {
        Status::Complete(end) => Ok(Some(Head { end, body: body_length(request.headers)? })),
        Status::Partial => Ok(None),
    }
}

/// Status and head of a reply, if it is complete.
fn parse_reply(received: &[u8]) -> io::Result<Option<(u16, Head)>> {
    if received.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut reply = httparse::Response::new(&mut headers);
    match reply.parse(received).map_err(not_http)? {
        Status::Complete(end) => {
            let status = reply.code.ok_or_else(|| invalid("a reply without status"))?;
            Ok(Some((status, Head { end, body: body_length(reply.headers)? })))
        }
        Status::Partial => Ok(None),
    }
}

/// What stands between the first two spaces of a request that has been parsed.
fn request_target(received: &[u8]) -> &str {
    received.split(|byte| *byte == b' ').nth(1).and_then(|target| std::str::from_utf8(target).ok()).unwrap_or("")
}

fn body_length(headers: &[Header<'_>]) -> io::Result<BodyLength> {
    let mut length = BodyLength::NotSaid;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") && header.value.eq_ignore_ascii_case(b"chunked") {
            return Ok(BodyLength::Chunked);
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let number = std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok());
            length = BodyLength::Bytes(number.ok_or_else(|| invalid("a content-length is no number"))?);
        }
    }
    Ok(length)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn not_http(error: httparse::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
