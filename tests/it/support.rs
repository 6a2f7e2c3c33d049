//! What integration tests share: an isolated home to run the real binary in, and an HTTP server on the
//! loopback whose faults are exact.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The files of a packed golden, by name.
pub(crate) fn unpacked(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = std::fs::File::open(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (name, bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

/// Waits for what another thread or process does; it is given long enough for any machine.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A user's machine: an empty working folder and an empty `ZOO_HOME`.
pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
}

/// What a run of the binary left: exit code, stdout, stderr.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("work")).unwrap();
        Home { dir }
    }

    /// A path in the working folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    /// A path in `ZOO_HOME`.
    pub(crate) fn cache(&self, name: &str) -> PathBuf {
        self.dir.path().join("zoo").join(name)
    }

    /// Writes a file of the working folder.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The binary with nothing of this machine's environment but `PATH`.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zoo"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("ZOO_HOME", self.dir.path().join("zoo"))
            .current_dir(self.dir.path().join("work"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().unwrap())
    }

    /// Names of the files directly in a folder of the cache, sorted; empty when it does not exist.
    pub(crate) fn cached(&self, folder: &str, extension: Option<&str>) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.cache(folder)) else { return Vec::new() };
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let fits = |n: &String| Path::new(n).extension().and_then(|e| e.to_str()) == extension;
        let mut names: Vec<_> = names.filter(fits).collect();
        names.sort();
        names
    }
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A request as the server saw it; header names in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// `GET`, `HEAD`.
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    /// How many requests came before this one.
    pub(crate) before: usize,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first byte of a `bytes=N-` request.
    pub(crate) fn start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The length to claim, where it is not the body's.
    pub(crate) claim: Option<usize>,
    /// Close the connection after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Fall silent after the body (or the cut) for so long.
    pub(crate) hang: Duration,
    /// Send so many bytes at a time, with a pause after each.
    pub(crate) drip: Option<(usize, Duration)>,
    /// What is done after so many bytes, before the others are sent.
    pub(crate) hold: Option<(usize, Hold)>,
}

/// Something that a server waits for.
#[derive(Clone)]
pub(crate) struct Hold(Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hold")
    }
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let hang = Duration::ZERO;
        Reply {
            status,
            headers: Vec::new(),
            body: body.into(),
            claim: None,
            cut: None,
            hang,
            drip: None,
            hold: None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }

    pub(crate) fn hold(mut self, after: usize, until: impl Fn() + Send + Sync + 'static) -> Self {
        self.hold = Some((after, Hold(Arc::new(until))));
        self
    }

    /// A file as a good server gives it: Range and If-Range honoured.
    pub(crate) fn file(asked: &Asked, bytes: &[u8], etag: &str) -> Self {
        let same = asked.header("if-range").is_none_or(|v| v == etag);
        let reply = match asked.header("range").filter(|_| same).and_then(range) {
            Some((start, _)) if start >= bytes.len() => {
                Reply::new(416, "").header("Content-Range", &format!("bytes */{}", bytes.len()))
            }
            Some((start, end)) => {
                let end = end.map_or(bytes.len(), |e| (e + 1).min(bytes.len()));
                let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
                Reply::new(206, &bytes[start..end]).header("Content-Range", &range)
            }
            None => Reply::new(200, bytes),
        };
        reply.header("ETag", etag).header("Accept-Ranges", "bytes")
    }
}

/// `bytes=A-B` or `bytes=A-`.
fn range(text: &str) -> Option<(usize, Option<usize>)> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()))
}

/// A server on the loopback; its threads end with the process.
pub(crate) struct Server {
    pub(crate) url: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Server::over("http", Ok, answer)
    }

    /// A server whose connections are first made into streams of another kind, such as TLS.
    pub(crate) fn over<S: Read + Write>(
        scheme: &str,
        wrap: impl Fn(TcpStream) -> std::io::Result<S> + Send + Sync + 'static,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (shared, seen) = (Arc::new((wrap, answer)), log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, seen) = (shared.clone(), seen.clone());
                std::thread::spawn(move || {
                    let tcp = stream.try_clone().unwrap();
                    if let Ok(stream) = (shared.0)(stream) {
                        serve(stream, &tcp, &shared.1, &seen);
                    }
                });
            }
        });
        Server { url, log }
    }

    /// A server of one file's bytes under any path.
    pub(crate) fn of(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Server::start(move |asked| Reply::file(asked, &bytes, "\"one\""))
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }
}

/// Reads the head of a request.
pub(crate) fn asked(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return None;
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut asked = Asked { method, path, ..Asked::default() };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            return Some(asked);
        }
        if let Some((name, value)) = line.split_once(':') {
            asked.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

fn serve(
    stream: impl Read + Write,
    tcp: &TcpStream,
    answer: &dyn Fn(&Asked) -> Reply,
    log: &Mutex<Vec<Asked>>,
) {
    let mut reader = BufReader::new(stream);
    let Some(mut asked) = asked(&mut reader) else { return };
    {
        let mut log = log.lock().unwrap();
        asked.before = log.len();
        log.push(asked.clone());
    }
    let reply = answer(&asked);
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    head += &format!("Content-Length: {}\r\n", reply.claim.unwrap_or(reply.body.len()));
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let body = &reply.body[..reply.cut.unwrap_or(reply.body.len()).min(reply.body.len())];
    let stream = reader.get_mut();
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n"));
    let held = reply.hold.as_ref().map_or(0, |(after, _)| *after);
    let (before, body) = body.split_at(held);
    if let Some((_, Hold(wait))) = &reply.hold {
        let _ = stream.write_all(before).and_then(|()| stream.flush());
        wait();
    }
    match reply.drip {
        None => drop(stream.write_all(body)),
        Some((bytes, pause)) => {
            for drop in body.chunks(bytes) {
                if stream.write_all(drop).and_then(|()| stream.flush()).is_err() {
                    break;
                }
                std::thread::sleep(pause);
            }
        }
    }
    let _ = stream.flush();
    std::thread::sleep(reply.hang);
    // What the client still sends is read, so that closing does not reset what it has not read yet.
    let _ = tcp.shutdown(std::net::Shutdown::Write);
    let _ = tcp.set_read_timeout(Some(Duration::from_millis(500)));
    let _ = reader.get_mut().read(&mut [0; 64]);
}
