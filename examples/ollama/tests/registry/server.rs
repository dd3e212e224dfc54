//! A small HTTP server with faults: it answers what a closure says and counts what it sends.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    /// With lower-case names.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The range that is asked for of something of this length.
    pub(crate) fn range(&self, length: usize) -> Option<std::ops::Range<usize>> {
        let (first, last) = self
            .header("range")
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let last: usize = last.parse().unwrap_or(length.saturating_sub(1));
        Some(first.parse().unwrap()..(last + 1).min(length))
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    /// The connection is closed after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// The length that is told, if not the true one.
    pub(crate) length: Option<usize>,
    /// A pause after each 64 KiB.
    pub(crate) pause: Duration,
}

/// Bytes that are not copied for every answer.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) range: std::ops::Range<usize>,
    /// This byte, counted in `bytes`, is sent wrong.
    pub(crate) flip: Option<usize>,
}

impl Body {
    pub(crate) fn new(bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        let bytes = bytes.into();
        let range = 0..bytes.len();
        Self {
            bytes,
            range,
            flip: None,
        }
    }
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::new(body.into()),
            cut: None,
            length: None,
            pause: Duration::ZERO,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// A file, or the range of it that is asked for.
    pub(crate) fn file(request: &Request, bytes: &Arc<Vec<u8>>) -> Self {
        let mut reply = Self::new(200, "");
        reply.body = Body::new(Arc::clone(bytes));
        if let Some(range) = request.range(bytes.len()).filter(|range| !range.is_empty()) {
            let told = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
            reply.status = 206;
            reply.body.range = range;
            reply = reply.with("Content-Range", told);
        }
        reply
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server on a port of its own, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    state: Arc<State>,
}

struct State {
    handler: Box<Handler>,
    log: Mutex<Vec<Request>>,
    sent: AtomicU64,
    connections: AtomicU64,
    stop: AtomicBool,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            handler: Box::new(handler),
            log: Mutex::default(),
            sent: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub(crate) fn log(&self) -> Vec<Request> {
        self.state.log.lock().unwrap().clone()
    }

    /// How many bytes of bodies were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(stream: &TcpStream, state: &State) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        state.log.lock().unwrap().push(request.clone());
        let reply = (state.handler)(&request);
        if !write(stream, &request, &reply, state) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    // Through a proxy the whole address is asked for.
    let target = match target.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/').unwrap_or(rest.len())..],
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if headers
        .get("transfer-encoding")
        .is_some_and(|value| value == "chunked")
    {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend(&chunk[..length]);
            if length == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length") {
        body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
    }
    Some(Request {
        method,
        path,
        query,
        headers,
        body,
    })
}

/// Whether the connection can go on.
fn write(mut stream: &TcpStream, request: &Request, reply: &Reply, state: &State) -> bool {
    let body = &reply.body.bytes[reply.body.range.clone()];
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!(
        "Content-Length: {}\r\n\r\n",
        reply.length.unwrap_or(body.len())
    );
    if stream.write_all(head.as_bytes()).is_err() {
        return false;
    }
    if request.method == "HEAD" {
        return true;
    }
    let mut sent = 0;
    let end = reply.cut.unwrap_or(body.len()).min(body.len());
    while sent < end {
        let piece = &body[sent..end.min(sent + (1 << 16))];
        let at = reply.body.range.start + sent;
        let written = match reply
            .body
            .flip
            .filter(|flip| (at..at + piece.len()).contains(flip))
        {
            Some(flip) => {
                let mut piece = piece.to_vec();
                piece[flip - at] ^= 1;
                stream.write_all(&piece)
            }
            None => stream.write_all(piece),
        };
        if written.is_err() {
            return false;
        }
        sent += piece.len();
        state.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        if !reply.pause.is_zero() {
            std::thread::sleep(reply.pause);
        }
    }
    // What was told and not sent is cut off.
    end == body.len() && reply.length.is_none_or(|length| length == body.len())
}
