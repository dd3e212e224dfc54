//! One HTTP request on a connection of its own, whose reply can be given up in its middle.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a request may take until it counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// When the client goes away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    Never,
    /// Before the reply's head.
    Early(Duration),
    /// After so many pieces of the body.
    After(usize),
}

pub struct Reply {
    pub status: u16,
    pub retry_after: bool,
    pub body: String,
    /// The client went away.
    pub left: bool,
}

pub enum Broken {
    /// The client left before it saw a status.
    Left,
    Hung(String),
    Cut(String),
}

pub fn ask(
    address: &str,
    method: &str,
    path: &str,
    body: &str,
    leave: Leave,
) -> Result<Reply, Broken> {
    let began = Instant::now();
    let broken = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            Broken::Hung(format!("no byte came for {} s", began.elapsed().as_secs()))
        }
        _ => Broken::Cut(e.to_string()),
    };
    let mut stream = TcpStream::connect(address).map_err(broken)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(broken)?;
    if let Leave::Early(after) = leave {
        std::thread::sleep(after);
        return Err(Broken::Left);
    }
    let mut reader = BufReader::new(stream);
    let status_line = line(&mut reader).map_err(broken)?;
    let status = status_line.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| Broken::Cut(format!("no status: {status_line:?}")))?;
    let (mut length, mut chunked, mut retry_after) = (None, false, false);
    loop {
        let header = line(&mut reader).map_err(broken)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<usize>().ok(),
            "transfer-encoding" => chunked = value.contains("chunked"),
            "retry-after" => retry_after = true,
            _ => {}
        }
    }
    let mut bytes = Vec::new();
    let mut left = false;
    if chunked {
        let mut pieces = 0;
        loop {
            if leave == Leave::After(pieces) {
                left = true;
                break;
            }
            if began.elapsed() > PATIENCE {
                return Err(Broken::Hung("the stream does not end".into()));
            }
            let size = line(&mut reader).map_err(broken)?;
            let size = usize::from_str_radix(&size, 16)
                .map_err(|_| Broken::Cut(format!("no size of a chunk: {size:?}")))?;
            let mut piece = vec![0; size + 2];
            reader.read_exact(&mut piece).map_err(broken)?;
            if size == 0 {
                break;
            }
            bytes.extend_from_slice(&piece[..size]);
            pieces += 1;
        }
    } else if let Some(length) = length {
        bytes.resize(length, 0);
        reader.read_exact(&mut bytes).map_err(broken)?;
    }
    Ok(Reply {
        status,
        retry_after,
        body: String::from_utf8_lossy(&bytes).into_owned(),
        left,
    })
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
