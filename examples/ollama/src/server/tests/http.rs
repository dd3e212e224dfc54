//! Over real connections, with a server on a port of the system's choice.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::server::listen::listen;

struct Served {
    bench: Arc<Bench>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    done: tokio::task::JoinHandle<()>,
}

async fn serve(bench: Bench) -> Served {
    let bench = Arc::new(bench);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = bench.router.clone();
    let done = tokio::spawn(async move {
        listen(
            vec![listener],
            router,
            async move { drop(stopped.await) },
            Duration::from_secs(30),
        )
        .await;
    });
    Served {
        bench,
        address,
        stop: Some(stop),
        done,
    }
}

impl Served {
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        String::from_utf8_lossy(&reply).into_owned()
    }

    fn post(path: &str, body: &str) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_over_a_connection() {
    let served = serve(Bench::new()).await;
    let reply = served
        .raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        reply.starts_with("HTTP/1.1 200 OK") && reply.ends_with("Ollama is running"),
        "{reply}"
    );
    let reply = served
        .raw(&Served::post(
            "/api/generate",
            r#"{"model": "plain", "prompt": "say:hello"}"#,
        ))
        .await;
    assert!(
        reply.contains("transfer-encoding: chunked") && reply.contains("\"done\":true"),
        "{reply}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_no_http_or_too_long() {
    let served = serve(Bench::new()).await;
    for request in [
        "\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03".to_owned() + "\r\n\r\n",
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200_000)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(10_000)),
        "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n".to_owned(),
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n".to_owned(),
        "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
    ] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 4"), "{reply}");
    }
    // Without a Host nobody knows what the client meant.
    let reply = served
        .raw("GET /api/tags HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
    let reply = served
        .raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_long_are_refused() {
    let served = serve(Bench::new()).await;
    let piece = vec![b' '; 1 << 20];
    let pieces = crate::server::body::JSON / piece.len() + 1;
    let length = format!("Content-Length: {}", pieces * piece.len());
    for (framing, before, after) in [
        (&*length, "", ""),
        ("Transfer-Encoding: chunked", "100000\r\n", "\r\n"),
    ] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let head = format!(
            "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{framing}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = [before.as_bytes(), &piece, after.as_bytes()].concat();
        for _ in 0..pieces {
            if stream.write_all(&piece).await.is_err() {
                break;
            }
        }
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        let reply = String::from_utf8_lossy(&reply);
        assert!(
            reply.is_empty() || reply.starts_with("HTTP/1.1 413"),
            "{framing}: {reply}"
        );
    }
}

/// A client that goes away stops its work at once, in the queue, while the model loads, and in the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_stops_its_work() {
    let served = serve(Bench::new()).await;
    for stream_it in [true, false] {
        let body = json!({"model": "plain", "prompt": "hang", "stream": stream_it}).to_string();
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream
            .write_all(Served::post("/api/generate", &body).as_bytes())
            .await
            .unwrap();
        let scheduler = &served.bench.app.scheduler;
        while scheduler.granted() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(stream);
        while scheduler.granted() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Who stays and reads nothing keeps no model in memory: others have its place when the answer is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_is_waited_for_by_nobody() {
    let bench = Bench::with(&[("OLLAMA_MAX_LOADED_MODELS", "1")]);
    let body = json!({"model": "plain", "prompt": "count:100"}).to_string();
    let unread = bench
        .begin(request(Method::POST, "/api/generate", body))
        .await;
    let other = bench.post("/api/embed", json!({"model": "embed", "input": "x"}));
    let other = tokio::time::timeout(Duration::from_secs(30), other).await;
    other.expect("it waits for who reads nothing").ok();
    let reply = Reply::read(unread).await.ok();
    assert_eq!(reply.lines().last().unwrap()["done"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_lets_answers_end() {
    let mut served = serve(Bench::new()).await;
    let body = r#"{"model": "plain", "prompt": "slow:30 say:this takes a while"}"#;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream
        .write_all(Served::post("/api/generate", body).as_bytes())
        .await
        .unwrap();
    let mut reply = vec![0; 1];
    stream.read_exact(&mut reply).await.unwrap();
    served.stop.take().unwrap().send(()).unwrap();
    stream.read_to_end(&mut reply).await.unwrap();
    let reply = String::from_utf8_lossy(&reply);
    assert!(reply.contains("\"done\":true"), "{reply}");
    served.done.await.unwrap();
    assert!(
        TcpStream::connect(served.address).await.is_err(),
        "it listens no more"
    );
}
