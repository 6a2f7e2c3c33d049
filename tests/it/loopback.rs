//! A TLS server and a proxy on the loopback, both real ones, whose faults are exact. Used by the tests of the network.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Asked, Reply, Server, asked};

/// A text of `tests/golden/certificates.json`.
pub(crate) fn pem(name: &str) -> String {
    let text = std::fs::read_to_string("tests/golden/certificates.json").unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    golden[name].as_str().unwrap().to_owned()
}

/// A server that speaks TLS with one of the certificates; its address says `localhost`. Also counts connections.
pub(crate) fn tls_server(
    certificate: &str,
    answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> (Server, Arc<Mutex<usize>>) {
    let chain = vec![CertificateDer::from_pem_slice(pem(certificate).as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pem("key").as_bytes()).unwrap();
    let config =
        Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap());
    let connections = Arc::new(Mutex::new(0));
    let count = connections.clone();
    let wrap = move |mut tcp: TcpStream| {
        *count.lock().unwrap() += 1;
        let mut tls = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(StreamOwned::new(tls, tcp))
    };
    let mut server = Server::over("https", wrap, answer);
    server.url = server.url.replace("127.0.0.1", "localhost");
    (server, connections)
}

/// A proxy: `CONNECT` for https, whole addresses for http.
pub(crate) struct Proxy {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Proxy {
    /// One that lets those in who know `user:password`, or everybody; `fault` may answer in its place, by the number of the
    /// request.
    pub(crate) fn start(
        secret: Option<&str>,
        fault: impl Fn(usize) -> Option<&'static str> + Send + Sync + 'static,
    ) -> Self {
        let wanted = secret.map(|s| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(s)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (shared, seen) = (Arc::new((wanted, fault)), log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, seen) = (shared.clone(), seen.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let Some(asked) = asked(&mut reader) else { return };
                    let before = {
                        let mut log = seen.lock().unwrap();
                        log.push(asked.clone());
                        log.len() - 1
                    };
                    let let_in =
                        shared.0.as_deref().is_none_or(|w| asked.header("proxy-authorization") == Some(w));
                    let refusal = match (let_in, (shared.1)(before)) {
                        (false, _) => Some(
                            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                             Content-Length: 0\r\nConnection: close\r\n\r\n",
                        ),
                        (true, fault) => fault,
                    };
                    match refusal {
                        Some(text) => drop((&stream).write_all(text.as_bytes())),
                        None => pass_on(&asked, stream),
                    }
                });
            }
        });
        Proxy { address, log }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }
}

fn pass_on(asked: &Asked, client: TcpStream) {
    let (to, head) = if asked.method == "CONNECT" {
        let _ = (&client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
        (asked.path.clone(), None)
    } else {
        let rest = asked.path.strip_prefix("http://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let mut head = format!("{} /{path} HTTP/1.1\r\n", asked.method);
        for (name, value) in asked.headers.iter().filter(|(n, _)| !n.starts_with("proxy-")) {
            head += &format!("{name}: {value}\r\n");
        }
        (host.to_owned(), Some(head + "\r\n"))
    };
    let Ok(server) = TcpStream::connect(&to) else { return };
    if let Some(head) = head {
        (&server).write_all(head.as_bytes()).unwrap();
    }
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    };
    let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || copy(back.0, back.1));
    copy(client, server);
}
