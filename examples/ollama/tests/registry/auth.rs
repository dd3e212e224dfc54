//! Who is given credentials, and where redirects may lead.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ollama::registry::{Mirror, Options};
use ollama::{Digest, Kind};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::models::{Here, MIB, Shared, answer, noise, registry, shelf};
use crate::server::{Reply, Request, Server};

/// A registry that wants a token from this realm.
fn guarded(shelf: &Shared, realm: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
    let shelf = Arc::clone(shelf);
    Server::start(move |request| {
        let host = request.header("host").to_owned();
        match request.path.as_str() {
            "/token" => Reply::new(200, r#"{"token":"secret-token"}"#),
            _ if request.header("authorization") == "Bearer secret-token" => {
                answer(&shelf, request)
            }
            _ => {
                let challenge = format!(
                    "Bearer realm=\"{}\",service=\"{host}\",scope=\"repository:library/m:pull\"",
                    realm(&host)
                );
                Reply::new(401, "who are you").with("WWW-Authenticate", challenge)
            }
        }
    })
}

fn token_requests(server: &Server) -> Vec<Request> {
    server
        .log()
        .into_iter()
        .filter(|request| request.path == "/token")
        .collect()
}

#[test]
fn a_token_is_asked_for_once_with_a_signature_of_the_users_key() {
    let weights = noise(9 * MIB, 1);
    let server = guarded(&shelf("library/m:latest", &[&weights]), |host| {
        format!("http://{host}/token?account=x")
    });
    let here = Here::new();
    here.pull(&format!("{}/library/m", server.address))
        .0
        .unwrap();
    let asked = token_requests(&server);
    assert_eq!(asked.len(), 1);
    assert!(asked[0].query.contains("account=x") && asked[0].query.contains("service="));
    assert!(
        asked[0]
            .query
            .contains("scope=repository%3Alibrary%2Fm%3Apull"),
        "{}",
        asked[0].query
    );

    let (public, signature) = asked[0].header("authorization").split_once(':').unwrap();
    let public = BASE64_STANDARD.decode(public).unwrap();
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    let url = format!("http://{}/token?{}", server.address, asked[0].query);
    let nothing = BASE64_STANDARD.encode(Digest::of_bytes(b"").hex());
    UnparsedPublicKey::new(&ED25519, &public[public.len() - 32..])
        .verify(format!("GET,{url},{nothing}").as_bytes(), &signature)
        .unwrap();
    let key = here.dir.path().join("home/.ollama/id_ed25519.pub");
    let key = std::fs::read_to_string(key).unwrap();
    assert_eq!(
        key.split_whitespace().nth(1),
        Some(BASE64_STANDARD.encode(&public).as_str())
    );
}

// CVE-2025-51471
#[test]
fn no_token_is_asked_for_on_another_host() {
    let thief = Server::start(|_| Reply::new(200, r#"{"token":"secret-token"}"#));
    let stolen = thief.url("/token");
    let server = guarded(&shelf("library/m:latest", &[b"weights"]), move |_| {
        stolen.clone()
    });
    let here = Here::new();
    let error = here
        .pull(&format!("{}/library/m", server.address))
        .0
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(error.to_string().contains("does not match"), "{error}");
    assert_eq!(thief.connections(), 0);
}

#[test]
fn redirects_to_another_host_carry_no_token_and_are_renewed_when_they_expire() {
    let weights = Arc::new(noise(20 * MIB, 2));
    let bytes = Arc::clone(&weights);
    let served = Mutex::new(0);
    let storage = Server::start(move |request| {
        let mut served = served.lock().unwrap();
        *served += 1;
        // The second request finds the address expired.
        if *served == 2 {
            Reply::new(403, "expired")
        } else {
            Reply::file(request, &bytes)
        }
    });
    let to = storage.url("/blob?signature=x");
    let shelf = shelf("library/m:latest", &[&weights]);
    let inner = Arc::clone(&shelf);
    let digest = Digest::of_bytes(&weights).to_string();
    let server = Server::start(move |request| {
        if request.path == "/token" {
            return Reply::new(200, r#"{"token":"secret-token"}"#);
        }
        if request.header("authorization") != "Bearer secret-token" {
            let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host"));
            return Reply::new(401, "").with("WWW-Authenticate", realm);
        }
        match request.path.ends_with(&digest) {
            true => Reply::new(307, "").with("Location", to.clone()),
            false => answer(&inner, request),
        }
    });
    let mut here = Here::new();
    here.config.streams = 1;
    here.pull(&format!("{}/library/m", server.address))
        .0
        .unwrap();
    here.store.verify(&Digest::of_bytes(&weights)).unwrap();
    assert!(
        storage
            .log()
            .iter()
            .all(|request| request.header("authorization").is_empty())
    );
    let resolved = server
        .log()
        .iter()
        .filter(|r| r.path.contains("/blobs/") && !r.header("range").is_empty())
        .count();
    assert!((2..=3).contains(&resolved), "{resolved}");
}

#[test]
fn redirects_end() {
    let server =
        Server::start(|request| Reply::new(302, "").with("Location", format!("{}x", request.path)));
    let here = Here::new();
    let error = here
        .pull(&format!("{}/library/m", server.address))
        .0
        .unwrap_err();
    assert!(error.to_string().contains("redirects"), "{error}");
    assert!(server.log().len() <= 11);
    for location in ["file:///etc/passwd", "ftp://h/x", "//[::1", "gopher://h"] {
        let server = Server::start(move |_| Reply::new(302, "").with("Location", location));
        let error = here
            .pull(&format!("{}/library/m", server.address))
            .0
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Network, "{location}");
        assert_eq!(server.log().len(), 1);
    }
}

#[test]
fn errors_are_said_as_ollama_says_them() {
    for (status, body, kind, text) in [
        (
            404,
            "",
            Kind::NotFound,
            "pull model manifest: file does not exist",
        ),
        (
            403,
            "no entry",
            Kind::Unauthorized,
            "pull model manifest: 403: no entry",
        ),
        (
            401,
            "",
            Kind::Unauthorized,
            "pull model manifest: unauthorized: access denied",
        ),
        (
            412,
            "newer version",
            Kind::Network,
            "pull model manifest: 412: newer version",
        ),
        (
            400,
            "bad\u{1b}[31m",
            Kind::Network,
            "pull model manifest: 400: bad[31m",
        ),
    ] {
        let server = Server::start(move |_| Reply::new(status, body));
        let here = Here::new();
        let error = here
            .pull(&format!("{}/library/m", server.address))
            .0
            .unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
        assert_eq!(server.log().len(), 1, "{status} is final");
    }
    // Some pass.
    let shelf = shelf("library/m:latest", &[b"weights"]);
    let count = Mutex::new(0);
    let server = Server::start(move |request| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count {
            1 => Reply::new(500, ""),
            2 => Reply::new(429, "").with("Retry-After", "0"),
            3 => Reply {
                cut: Some(10),
                ..answer(&shelf, request)
            },
            _ => answer(&shelf, request),
        }
    });
    let here = Here::new();
    here.pull(&format!("{}/library/m", server.address))
        .0
        .unwrap();
}

#[test]
fn credentials_of_a_mirror_stay_with_it() {
    let weights = noise(2 * MIB, 3);
    let shelf = shelf("library/m:latest", &[&weights]);
    let origin = registry(&shelf);
    let inner = Arc::clone(&shelf);
    let mirror = Server::start(move |request| {
        let expected = format!("Basic {}", BASE64_STANDARD.encode("me:p@ss"));
        match request.header("authorization") == expected && !request.path.contains("/blobs/") {
            true => answer(&inner, request),
            false => Reply::new(404, ""),
        }
    });
    let mut here = Here::new();
    here.config.mirrors = vec![Mirror {
        host: origin.address.clone(),
        url: format!("http://me:p%40ss@{}/", mirror.address)
            .parse()
            .unwrap(),
    }];
    here.pull(&format!("{}/library/m", origin.address))
        .0
        .unwrap();
    assert!(
        mirror
            .log()
            .iter()
            .any(|request| request.path.contains("/manifests/"))
    );
    assert!(
        origin
            .log()
            .iter()
            .all(|request| request.header("authorization").is_empty())
    );
}

#[test]
fn what_a_client_of_the_server_asks_for_does_not_lead_inside() {
    let inside = Server::start(|_| Reply::new(200, "internal"));
    let target = inside.url("/latest/meta-data.gguf");
    let mut here = Here::new();
    let remote = Options {
        insecure: true,
        remote: true,
    };
    let error = here.pull_with(&target, &remote).0.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert_eq!(inside.connections(), 0);

    // A registry may be inside, but sends nobody to other places there.
    let weights = noise(2 * MIB, 4);
    let shelf = shelf("library/m:latest", &[&weights]);
    let to = target.clone();
    let registry = Server::start(move |request| match request.path.contains("/blobs/") {
        true => Reply::new(302, "").with("Location", to.clone()),
        false => answer(&shelf, request),
    });
    let error = here
        .pull_with(&format!("{}/library/m", registry.address), &remote)
        .0
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert_eq!(inside.connections(), 0);

    here.config.allowed_hosts = vec![inside.address.clone()];
    let error = here.pull_with(&target, &remote).0.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert!(inside.connections() > 0);
}
