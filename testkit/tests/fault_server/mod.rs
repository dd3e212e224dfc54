//! An HTTP server on loopback that answers exactly what a test tells it to, faults included.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What the server sends for a request.
#[derive(Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
    length: Option<u64>,
    endless: bool,
}

impl Reply {
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_owned();
        Self {
            body,
            ..Self::status(200)
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            length: None,
            endless: false,
        }
    }

    /// A body that goes on until the client has had enough, without a length.
    pub(crate) fn endless() -> Self {
        Self {
            endless: true,
            ..Self::status(200)
        }
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    /// States this length instead of the body's own.
    pub(crate) fn claimed_length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    fn send(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", self.status);
        for line in &self.headers {
            head += &format!("{line}\r\n");
        }
        if !self.endless {
            let length = self.length.unwrap_or(self.body.len() as u64);
            head += &format!("Content-Length: {length}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(&self.body)?;
        if !self.endless {
            return Ok(());
        }
        let block = [0; 1 << 16];
        loop {
            stream.write_all(&block)?;
        }
    }
}

#[derive(Default)]
struct State {
    /// The last reply of a path stays, the ones before are used up.
    replies: Mutex<HashMap<String, VecDeque<Reply>>>,
    requests: Mutex<Vec<String>>,
    stop: AtomicBool,
}

pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that answers 404 to everything until told otherwise.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                // A client that goes away in the middle is one of the things tested.
                std::thread::spawn(move || stream.and_then(|stream| shared.serve(&stream)));
            }
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers requests for `path` with `reply`.
    pub(crate) fn on(&self, path: &str, reply: Reply) {
        self.state
            .replies
            .lock()
            .unwrap()
            .insert(path.to_owned(), VecDeque::from([reply]));
    }

    /// Answers with `reply` once the replies set so far have been given.
    pub(crate) fn then(&self, path: &str, reply: Reply) {
        self.state
            .replies
            .lock()
            .unwrap()
            .entry(path.to_owned())
            .or_default()
            .push_back(reply);
    }

    /// Paths asked for, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl State {
    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        while lines
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        let Some(path) = request
            .strip_prefix("GET ")
            .and_then(|rest| rest.split(' ').next())
        else {
            return Ok(());
        };
        self.requests.lock().unwrap().push(path.to_owned());
        self.reply(path).send(stream)
    }

    fn reply(&self, path: &str) -> Reply {
        let mut replies = self.replies.lock().unwrap();
        match replies.get_mut(path) {
            Some(queue) if queue.len() > 1 => queue.pop_front().unwrap(),
            Some(queue) => queue[0].clone(),
            None => Reply::status(404),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
