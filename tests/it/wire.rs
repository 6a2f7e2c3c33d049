//! Manners of the wire, each fault injected by a real server on the loopback: when zoo comes back, when it gives up, how
//! many connections it makes, whom it trusts, and through which proxy it goes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zoo::Sha256;

use crate::loopback::{Proxy, pem, tls_server};
use crate::store::{fetch, named, noise, page};
use crate::support::{Asked, Home, Ran, Reply, Server, ran};

/// What `zoo fetch` says of a file that `answer` serves, and how often it asked.
fn fetched(
    bytes: &[u8],
    more: &[&str],
    answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> (Ran, Vec<Asked>) {
    let (home, server) = (Home::new(), Server::start(answer));
    let ran = fetch(&home, &page(&home, &format!("{}/{}", server.url, named(bytes)), ""), more);
    if ran.code == Some(0) {
        let path = home.cache("files").join(Sha256::of(bytes).to_string());
        assert!(std::fs::read(path).unwrap() == bytes, "what is kept is what was served");
    }
    (ran, server.asked())
}

#[test]
fn a_server_that_says_when_is_asked_again_then() {
    let now = "Sun, 06 Nov 1994 08:49:36 GMT";
    for (after, date) in [
        ("1", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(now)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(now)),
        ("Sun Nov  6 08:49:37 1994", Some(now)),
    ] {
        let bytes = noise(1000, 1);
        let served = bytes.clone();
        let (ran, asked) = fetched(&bytes, &[], move |asked| {
            if asked.before > 0 {
                return Reply::file(asked, &served, "\"a\"");
            }
            let reply = Reply::new(503, "").header("Retry-After", after);
            date.iter().fold(reply, |reply, date| reply.header("Date", date))
        });
        assert_eq!((ran.code, asked.len()), (Some(0), 2), "{ran:?}");
        assert!(ran.err.contains("trying again in 1.0 s"), "{after}: {}", ran.err);
    }
    // Too long to wait for: told at once.
    for (after, date) in [("86400", None), ("Mon, 07 Nov 1994 08:49:36 GMT", Some(now))] {
        let (ran, asked) = fetched(b"", &[], move |_| {
            let reply = Reply::new(429, "").header("Retry-After", after);
            date.iter().fold(reply, |reply, date| reply.header("Date", date))
        });
        assert_eq!((ran.code, asked.len()), (Some(4), 1), "{ran:?}");
        assert!(ran.err.contains("429") && ran.err.contains("come back in 86400 s"), "{}", ran.err);
    }
}

#[test]
fn a_redirect_that_leads_nowhere_is_told_at_once() {
    type To = fn(&str) -> String;
    let onto_itself: To = str::to_owned;
    let back_and_forth: To = |path| if path == "/a" { "/b".into() } else { "/a".into() };
    let ever_on: To = |path| format!("{path}x");
    for (to, says, requests) in [
        (onto_itself, "in a circle", 1),
        (back_and_forth, "in a circle", 3),
        (ever_on, "more than 10 times", 11),
    ] {
        let (ran, asked) =
            fetched(b"", &[], move |asked| Reply::new(302, "").header("Location", &to(&asked.path)));
        assert_eq!((ran.code, asked.len()), (Some(4), requests), "{says}: {ran:?}");
        assert!(ran.err.contains(says) && !ran.err.contains("trying again"), "{}", ran.err);
    }
}

#[test]
fn a_stall_is_noticed_and_what_came_before_it_is_kept() {
    let bytes = noise(30_000, 2);
    type Fault = fn(&mut Reply);
    let before_the_head: Fault = |reply| (reply.status, reply.hang) = (0, Duration::from_secs(30));
    let in_the_middle: Fault = |reply| (reply.cut, reply.hang) = (Some(9000), Duration::from_secs(30));
    let a_trickle: Fault = |reply| reply.drip = Some((5, Duration::from_millis(50)));
    let noticed = |fault: Fault, says: &str, keeps: bool| {
        let served = bytes.clone();
        let (ran, asked) = fetched(&bytes, &["--stall-timeout", "0.4s"], move |asked| {
            let mut reply = Reply::file(asked, &served, "\"a\"");
            if asked.before == 0 {
                fault(&mut reply);
                if reply.status == 0 {
                    // Nothing at all, not even a head.
                    std::thread::sleep(reply.hang);
                }
            }
            reply
        });
        assert_eq!((ran.code, asked.len()), (Some(0), 2), "{says}: {ran:?}");
        assert!(ran.err.contains(says), "{says}: {}", ran.err);
        assert_eq!(asked[1].start().is_some(), keeps, "{says}: what came is kept");
    };
    let given_up = || {
        let served = bytes.clone();
        let (ran, asked) = fetched(&bytes, &["--stall-timeout", "0.2s"], move |asked| {
            let mut reply = Reply::file(asked, &served, "\"a\"");
            (reply.cut, reply.hang) = (Some(0), Duration::from_secs(30));
            reply
        });
        assert_eq!((ran.code, asked.len()), (Some(4), 4), "it is given up: {ran:?}");
    };
    // All at once: they only wait.
    std::thread::scope(|scope| {
        scope.spawn(|| noticed(before_the_head, "silent for 0.4 s", false));
        scope.spawn(|| noticed(in_the_middle, " 0.4 s", true));
        scope.spawn(|| noticed(a_trickle, "bytes in 0.4 s", true));
        scope.spawn(given_up);
    });
}

/// The ranges that were asked for, as first and last byte.
fn ranges(asked: &[Asked]) -> Vec<(usize, Option<usize>)> {
    let range = |a: &Asked| {
        let (first, last) = a.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()))
    };
    asked.iter().filter_map(range).collect()
}

const MIB: usize = 1 << 20;

#[test]
fn several_connections_bring_one_file_whatever_the_server_does() {
    let bytes = Arc::new(noise(19 * MIB + 12_345, 3));
    type Fault = fn(&Asked, Reply) -> Reply;
    /// Whether it is the first answer to a request for a part from `mib` MiB on.
    fn part(asked: &Asked, mib: usize) -> bool {
        asked.start().is_some_and(|start| start >= mib * MIB) && asked.before < 4
    }
    let table: [(&str, Fault); 7] = [
        ("a good server", |_, reply| reply),
        ("one breaks off", |asked, reply| if part(asked, 8) { reply.cut(100_000) } else { reply }),
        ("the second is refused", |asked, reply| {
            if part(asked, 4) { Reply::new(429, "").header("Retry-After", "0") } else { reply }
        }),
        ("parts are forbidden", |asked, reply| if part(asked, 4) { Reply::new(403, "") } else { reply }),
        ("another part comes", |asked, reply| {
            if part(asked, 4) {
                Reply::new(206, vec![0; 100]).header("Content-Range", "bytes 0-99/100")
            } else {
                reply
            }
        }),
        ("more comes than was asked for", |asked, mut reply| {
            if part(asked, 4) {
                reply.body.extend([0; 1000]);
            }
            reply
        }),
        ("the later parts come first", |asked, reply| {
            if asked.start().is_some_and(|s| s < 4 * MIB) {
                std::thread::sleep(Duration::from_millis(400));
            }
            reply
        }),
    ];
    for (what, fault) in table {
        let served = bytes.clone();
        let (ran, asked) = fetched(&bytes, &["--connections", "3"], move |asked| {
            fault(asked, Reply::file(asked, &served, "\"a\""))
        });
        assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
        let parts = ranges(&asked);
        assert!(parts.iter().filter(|(_, last)| last.is_some()).count() >= 2, "{what}: {parts:?}");
        assert!(
            asked.iter().skip(1).all(|a| a.header("if-range") == Some("\"a\"")),
            "{what}: of the same file"
        );
    }
    // Without a validator the parts might be of two files, and a server without ranges gives it whole.
    let served = bytes.clone();
    let (ran, asked) = fetched(&bytes, &["--connections", "3"], move |_| Reply::new(200, served.as_slice()));
    assert_eq!((ran.code, asked.len()), (Some(0), 1), "{ran:?}");
    // A small file or a fast server is not worth a second connection.
    let served = bytes.clone();
    let (ran, asked) = fetched(&bytes, &[], move |asked| Reply::file(asked, &served, "\"a\""));
    assert_eq!((ran.code, asked.len()), (Some(0), 1), "{ran:?}");
}

#[test]
fn over_several_connections_the_partial_file_is_a_prefix() {
    let (home, bytes) = (Home::new(), Arc::new(noise(17 * MIB, 4)));
    let served = bytes.clone();
    let late = Arc::new(AtomicUsize::new(0));
    let count = late.clone();
    // All but the first segment arrive; the first stops after a megabyte.
    let server = Server::start(move |asked| {
        let mut reply = Reply::file(asked, &served, "\"a\"");
        match ranges(std::slice::from_ref(asked)).first() {
            Some((first, Some(_))) if *first < 4 * MIB => {
                (reply.cut, reply.hang) = (Some(MIB), Duration::from_secs(60));
            }
            Some((_, Some(_))) => drop(count.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        reply
    });
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let args = ["fetch", "m", "--format", "pth", "--registry", &page, "--connections", "3"];
    let child = home.command(&args).spawn().unwrap();
    crate::support::until("two later segments were asked for", || late.load(Ordering::SeqCst) >= 2);
    std::thread::sleep(Duration::from_millis(300));
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let stopped = ran(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, Some(130), "{stopped:?}");
    let parts = home.cached("partial", Some("part"));
    let [part] = parts.as_slice() else { panic!("{parts:?}") };
    let part = std::fs::read(home.cache("partial").join(part)).unwrap();
    assert!(!part.is_empty() && bytes.starts_with(&part), "{} bytes that are no prefix", part.len());
    assert!(late.load(Ordering::SeqCst) <= 2, "what waits for its turn is bounded");
}

/// A home that trusts the tests' authority.
fn trusting(home: &Home, page: &str) -> std::process::Command {
    let file = home.write("authority.pem", pem("authority"));
    let mut command =
        home.command(&["fetch", "m", "--format", "pth", "--registry", page, "--progress", "plain"]);
    command.env("SSL_CERT_FILE", file);
    command
}

#[test]
fn a_server_is_trusted_by_its_certificate_alone() {
    let bytes = noise(40_000, 5);
    let served = bytes.clone();
    for (certificate, says) in
        [("good", None), ("expired", Some("expired")), ("elsewhere", Some("not valid for name"))]
    {
        let (home, served) = (Home::new(), served.clone());
        let (server, connections) =
            tls_server(certificate, move |asked| Reply::file(asked, &served, "\"a\""));
        let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
        let trusted = ran(trusting(&home, &page).output().unwrap());
        let unknown = fetch(&home, &page, &[]);
        match says {
            None => assert_eq!(trusted.code, Some(0), "{trusted:?}"),
            Some(says) => {
                assert_eq!(trusted.code, Some(4), "{certificate}: {trusted:?}");
                assert!(trusted.err.contains(says), "{certificate}: {}", trusted.err);
                assert!(trusted.err.contains("SSL_CERT_FILE"), "{certificate}: {}", trusted.err);
                assert_eq!(server.asked().len(), 0, "{certificate}: nothing is said to it");
                // Of those two runs each tried once: another try would end the same way.
                assert_eq!(unknown.code, Some(4), "{unknown:?}");
                assert_eq!(*connections.lock().unwrap(), 2, "{certificate}: {}", trusted.err);
            }
        }
    }
}

#[test]
fn an_authority_that_is_not_known_or_cannot_be_read_is_named() {
    let (home, bytes) = (Home::new(), noise(1000, 6));
    let served = bytes.clone();
    let (server, connections) = tls_server("good", move |asked| Reply::file(asked, &served, "\"a\""));
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let strange = ran(home.command(&["fetch", "m", "--registry", &page]).output().unwrap());
    assert_eq!((strange.code, *connections.lock().unwrap()), (Some(4), 1), "{strange:?}");
    assert!(
        strange.err.contains("UnknownIssuer") && strange.err.contains("SSL_CERT_FILE"),
        "{}",
        strange.err
    );

    for (what, name, content) in [
        ("missing", "no.pem", None),
        ("empty", "empty.pem", Some("")),
        ("not certificates", "key.pem", Some("-----BEGIN PRIVATE KEY-----\n")),
    ] {
        if let Some(content) = content {
            home.write(name, content);
        }
        let mut command = home.command(&["fetch", "m", "--registry", &page]);
        let ran = ran(command.env("SSL_CERT_FILE", home.path(name)).output().unwrap());
        assert_eq!(ran.code, Some(4), "{what}: {ran:?}");
        assert!(ran.err.contains(name) && ran.err.contains("SSL_CERT_FILE"), "{what}: {}", ran.err);
    }
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn a_tls_connection_that_breaks_off_is_resumed_and_several_are_made() {
    let (home, bytes) = (Home::new(), noise(9 * MIB, 7));
    let served = bytes.clone();
    let (server, _) = tls_server("good", move |asked| {
        let reply = Reply::file(asked, &served, "\"a\"");
        if asked.before == 1 { reply.cut(MIB) } else { reply }
    });
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let ran = ran(trusting(&home, &page).args(["--connections", "2"]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("trying again") && ranges(&server.asked()).len() > 2, "{}", ran.err);
}

#[test]
fn proxies_are_gone_through_with_their_passwords_which_nobody_sees() {
    let bytes = noise(50_000, 8);
    let (plain_bytes, tls_bytes) = (bytes.clone(), bytes.clone());
    let plain = Server::start(move |asked| Reply::file(asked, &plain_bytes, "\"a\""));
    let (tls, _) = tls_server("good", move |asked| Reply::file(asked, &tls_bytes, "\"a\""));
    let proxy = Proxy::start(Some("me:p@ss word"), |_| None);
    let good = format!("http://me:p%40ss%20word@{}", proxy.address);
    let wrong = format!("http://me:other-secret@{}", proxy.address);
    let none = format!("http://{}", proxy.address);
    let over = |url: &str, variable: &str, value: &str, no_proxy: &str| {
        let home = Home::new();
        let page = page(&home, &format!("{url}/{}", named(&bytes)), "");
        let mut command = trusting(&home, &page);
        ran(command.env(variable, value).env("NO_PROXY", no_proxy).output().unwrap())
    };
    for (url, variable, method) in [
        (&tls.url, "HTTPS_PROXY", "CONNECT"),
        (&tls.url, "https_proxy", "CONNECT"),
        (&tls.url, "ALL_PROXY", "CONNECT"),
        (&plain.url, "HTTP_PROXY", "GET"),
        (&plain.url, "http_proxy", "GET"),
        (&plain.url, "all_proxy", "GET"),
    ] {
        let before = proxy.asked().len();
        let through = over(url, variable, &good, "");
        assert_eq!(through.code, Some(0), "{variable}: {through:?}");
        let asked = proxy.asked();
        assert_eq!((asked.len(), asked[before].method.as_str()), (before + 1, method), "{variable}");
        let past = over(url, variable, &good, "localhost,127.0.0.1");
        assert_eq!((past.code, proxy.asked().len()), (Some(0), before + 1), "{variable}: {past:?}");
        for (secret, bad) in [("other-secret", &wrong), ("p%40ss", &none)] {
            let before = proxy.asked().len();
            let refused = over(url, variable, bad, "");
            assert_eq!((refused.code, proxy.asked().len()), (Some(4), before + 1), "{variable}: {refused:?}");
            assert!(refused.err.contains("USER:PASSWORD"), "{variable}: {}", refused.err);
            assert!(!refused.err.contains(secret), "{variable}: {}", refused.err);
        }
    }
}

#[test]
fn a_proxy_that_fails_for_a_moment_is_asked_again() {
    let bytes = noise(10_000, 9);
    for (what, fault) in [
        ("busy", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        ("hangs up", ""),
        ("breaks off", "HTTP/1.1 20"),
    ] {
        let (home, served) = (Home::new(), bytes.clone());
        let (server, _) = tls_server("good", move |asked| Reply::file(asked, &served, "\"a\""));
        let proxy = Proxy::start(None, move |before| (before == 0).then_some(fault));
        let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
        let mut command = trusting(&home, &page);
        let ran = ran(command.env("HTTPS_PROXY", format!("http://{}", proxy.address)).output().unwrap());
        assert_eq!((ran.code, proxy.asked().len()), (Some(0), 2), "{what}: {ran:?}");
    }
}

#[test]
fn a_password_in_an_address_is_used_and_not_shown() {
    let (home, bytes) = (Home::new(), noise(5_000, 10));
    let served = bytes.clone();
    let seen = Arc::new(Mutex::new(None));
    let saw = seen.clone();
    let server = Server::start(move |asked| {
        *saw.lock().unwrap() = asked.header("authorization").map(str::to_owned);
        if asked.before == 0 { Reply::new(503, "") } else { Reply::file(asked, &served, "\"a\"") }
    });
    let with_password = server.url.replace("http://", "http://me:secret@");
    let page =
        page(&home, "https://weights.invalid/m.pth", &format!("  zoo: {{sha256: {}}}\n", Sha256::of(&bytes)));
    let ran = fetch(&home, &page, &["--mirror", &with_password, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(seen.lock().unwrap().as_deref().is_some_and(|a| a.starts_with("Basic ")));
    assert!(!ran.err.contains("secret") && !ran.out.contains("secret"), "{ran:?}");
    for file in home.cached("files", Some("json")) {
        assert!(!std::fs::read_to_string(home.cache("files").join(file)).unwrap().contains("secret"));
    }
}
