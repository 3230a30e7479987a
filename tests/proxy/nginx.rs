//! nginx as the application: files with ranges, compression, uploads; over TCP, TLS with a certificate authority of its own,
//! HTTP/2 and a unix socket. And one upload and one download of SCIMSHIM_PROXY_BYTES bytes at flat memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::streams::read_until;
use crate::support::service::{Service, certificates, free_port};
use crate::support::{report, size};
use crate::upstream::find;

/// A private nginx; ends with the value.
struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
    plain: u16,
    tls: u16,
}

impl Nginx {
    fn start() -> Nginx {
        let folder = tempfile::tempdir().expect("a folder");
        // Its worker may run as somebody else.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
        certificates(folder.path());
        let www = folder.path().join("www");
        std::fs::create_dir_all(www.join("put")).expect("a folder");
        std::fs::write(www.join("page.txt"), "All work and no play.\n".repeat(1000)).expect("a file");
        let (plain, tls) = (free_port(), free_port());
        let dir = folder.path().display();
        let user = if is_root() { "user root;" } else { "" };
        let locations = format!(
            "root {dir}/www; client_max_body_size 0; location /put/ {{ dav_methods PUT; }}
             location /about {{ return 200 \"$connection $server_protocol $host $ssl_server_name\"; }}"
        );
        let configuration = format!(
            "daemon off; {user} worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;
             events {{ }}
             http {{
                 access_log off; types {{ text/plain txt; }} gzip on; gzip_min_length 100; gzip_types text/plain; sendfile on;
                 client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
                 scgi_temp_path {dir}/t5;
                 server {{ listen 127.0.0.1:{plain}; listen unix:{dir}/http.sock; {locations} }}
                 server {{ listen 127.0.0.1:{tls} ssl http2; http2_max_concurrent_streams 8; ssl_certificate {dir}/certificate.pem;
                     ssl_certificate_key {dir}/key.pem; {locations} }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).expect("a file");
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", nginx.expect("nginx: run scripts/need test"), "-e"])
            .arg(folder.path().join("error.log"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Nginx { child, folder, plain, tls };
        let patience = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", plain)).is_err() {
            let log = std::fs::read_to_string(nginx.folder.path().join("error.log")).unwrap_or_default();
            assert!(Instant::now() < patience, "nginx does not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        nginx
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that its worker ends too.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// What any of its addresses answers, through us.
fn serves(service: &Service, name: &str, protocol: &str, nginx: &Nginx) {
    let mut client = service.client();
    let mut get = |path: &str, headers: &[(&str, &str)]| client.send("GET", path, headers, None).expect("an answer");
    let page = get("/page.txt", &[]).expect(200);
    assert_eq!(page.body.len(), 22_000, "{name}");
    let part = get("/page.txt", &[("Range", "bytes=4-7")]).expect(206);
    assert_eq!((part.text().as_str(), part.header("content-range")), ("work", Some("bytes 4-7/22000")), "{name}");
    get("/page.txt", &[("Range", "bytes=99999-")]).expect(416);
    let etag = page.header("etag").expect("an ETag").to_owned();
    get("/page.txt", &[("If-None-Match", &etag)]).expect(304);
    let small = get("/page.txt", &[("Accept-Encoding", "gzip")]).expect(200);
    assert_eq!(small.header("content-encoding"), Some("gzip"), "{name}");
    assert!(small.body.len() < 1000 && small.body.starts_with(&[0x1f, 0x8b]), "{name}");
    get("/nothing", &[]).expect(404);
    get("/scim/v2/nothing", &[]).expect_error(404, None, "endpoint");
    let about: Vec<String> = (0..5).map(|_| get("/about", &[]).expect(200).text()).collect();
    assert!(about.iter().all(|one| one == &about[0]), "{name}: one connection serves all: {about:?}");
    assert!(about[0].contains(&format!("{protocol} localhost")), "{name}: {about:?}");
    let head = client.send("HEAD", "/page.txt", &[], None).expect("an answer").expect(200);
    assert_eq!(head.header("content-length"), Some("22000"), "{name}");
    // A chunked upload of some size, and what became of it.
    let mut stream = client.connect().expect("a connection");
    let file = format!("{name}.bin");
    write!(
        stream,
        "PUT /put/{file} HTTP/1.1\r\nHost: localhost:{}\r\nTransfer-Encoding: chunked\r\n\r\n",
        service.address().port()
    )
    .unwrap();
    for number in 0..64_u8 {
        write!(stream, "8000\r\n").unwrap();
        stream.write_all(&vec![number; 0x8000]).unwrap();
        write!(stream, "\r\n").unwrap();
    }
    write!(stream, "0\r\n\r\n").unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 201"), "{name}");
    let stored = std::fs::read(nginx.file("www/put").join(file)).expect("the file");
    assert!(
        stored.len() == 64 * 0x8000 && stored.chunks(0x8000).zip(0..).all(|(part, n)| part.iter().all(|b| *b == n))
    );
}

#[test]
fn over_every_kind_of_connection() {
    let nginx = Nginx::start();
    let ca = nginx.file("ca.pem");
    for (name, upstream, protocol) in [
        ("plain", format!("http://127.0.0.1:{}", nginx.plain), "HTTP/1.1"),
        ("unix", format!("unix:{}", nginx.file("http.sock").display()), "HTTP/1.1"),
        (
            "tls",
            format!("{{ url: \"https://localhost:{}\", ca: {}, http: \"1.1\" }}", nginx.tls, ca.display()),
            "HTTP/1.1",
        ),
        ("auto", format!("{{ url: \"https://localhost:{}\", ca: {} }}", nginx.tls, ca.display()), "HTTP/1.1"),
        (
            "h2",
            format!("{{ url: \"https://localhost:{}\", ca: {}, http: \"2\" }}", nginx.tls, ca.display()),
            "HTTP/2.0",
        ),
    ] {
        serves(&crate::service(&upstream), name, protocol, &nginx);
    }
    // Its own host, where that is wanted.
    let service = crate::service(&format!("{{ url: \"http://127.0.0.1:{}\", preserve_host: false }}", nginx.plain));
    let about = service.client().send("GET", "/about", &[], None).expect("an answer").expect(200).text();
    assert!(about.contains("HTTP/1.1 127.0.0.1 "), "{about}");
    // A certificate that nobody here trusts, and one of another name.
    let other = tempfile::tempdir().expect("a folder");
    certificates(other.path());
    let wrong = other.path().join("ca.pem");
    let service = crate::service(&format!("{{ url: \"https://localhost:{}\", ca: {} }}", nginx.tls, wrong.display()));
    service.client().send("GET", "/page.txt", &[], None).expect("an answer").expect(502);
    service.said("TLS failed");
}

#[test]
fn slow_readers_over_http_2() {
    let nginx = Nginx::start();
    let file = std::fs::File::create(nginx.file("www/large.bin")).expect("a file");
    file.set_len(64 << 20).expect("its length");
    let ca = nginx.file("ca.pem");
    let upstream = format!("{{ url: \"https://localhost:{}\", ca: {}, http: \"2\" }}", nginx.tls, ca.display());
    let connections = || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the system's connections");
        let (to, established) = (format!(":{:04X}", nginx.tls), "01");
        let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        fields.filter(|fields| fields[2].ends_with(&to) && fields[3] == established).count()
    };
    crate::windows::answers_that_stand_still(&upstream, connections);
}

#[test]
fn large_bodies_at_flat_memory() {
    let bytes = size("SCIMSHIM_PROXY_BYTES", 64 << 20) as u64;
    let nginx = Nginx::start();
    let file = std::fs::File::create(nginx.file("www/large.bin")).expect("a file");
    file.set_len(bytes).expect("its length");
    let service = crate::service(&format!("http://127.0.0.1:{}", nginx.plain));
    for _ in 0..10 {
        service.client().send("GET", "/page.txt", &[], None).expect("an answer").expect(200);
    }
    let before = service.memory();
    let began = Instant::now();
    let mut stream = service.client().connect().expect("a connection");
    let host = format!("Host: localhost:{}\r\n", service.address().port());
    write!(stream, "GET /large.bin HTTP/1.1\r\n{host}\r\n").unwrap();
    let mut piece = vec![0_u8; 1 << 20];
    let (mut head, mut read) = (Vec::new(), 0_u64);
    while find(&head, b"\r\n\r\n").is_none() {
        let length = stream.read(&mut piece).expect("an answer");
        head.extend_from_slice(&piece[..length]);
    }
    read += (head.len() - find(&head, b"\r\n\r\n").unwrap() - 4) as u64;
    assert!(head.starts_with(b"HTTP/1.1 200"));
    while read < bytes {
        let length = stream.read(&mut piece).expect("more");
        assert!(length > 0, "it ended after {read} bytes");
        assert!(piece[..length].iter().step_by(509).all(|byte| *byte == 0));
        read += length as u64;
    }
    assert_eq!(read, bytes);
    let down = began.elapsed();
    let between = service.memory().most;

    // Chunks go to an application that counts them.
    let (url, received) = counting();
    let text = std::fs::read_to_string(service.config()).expect("the configuration");
    std::fs::write(service.config(), text.replace(&format!("http://127.0.0.1:{}", nginx.plain), &url))
        .expect("written");
    service.hang_up();
    let patience = Instant::now() + Duration::from_secs(20);
    while !service.stderr().contains("reloaded") {
        assert!(Instant::now() < patience, "not reloaded");
        std::thread::sleep(Duration::from_millis(20));
    }
    let began = Instant::now();
    let mut stream = service.client().connect().expect("a connection");
    write!(stream, "PUT /large.bin HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk: Vec<u8> =
        format!("{:x}\r\n", 1 << 20).into_bytes().into_iter().chain(vec![b'x'; 1 << 20]).chain(*b"\r\n").collect();
    for _ in 0..bytes >> 20 {
        stream.write_all(&chunk).expect("taken");
    }
    write!(stream, "0\r\n\r\n").unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 201"));
    let up = began.elapsed();
    // Framed anew: the chunks' heads come on top, in another size.
    let (got, sent) = (received.load(Ordering::SeqCst), bytes >> 20 << 20);
    assert!(got >= sent && got < sent + sent / 16, "{got} of {sent}");
    let after = service.memory();
    let rate = |time: Duration| (bytes >> 20) as f64 / time.as_secs_f64();
    report(
        "proxy-memory",
        &format!(
            "{} MiB down at {:.0} MiB/s and {} MiB up at {:.0} MiB/s through the proxy: resident {} -> {} KiB, at most {} -> {} -> {} KiB",
            bytes >> 20,
            rate(down),
            bytes >> 20,
            rate(up),
            before.now,
            after.now,
            before.most,
            between,
            after.most
        ),
    );
    assert!(after.most < before.most + 24 * 1024, "memory grew from {} to {} KiB", before.most, after.most);
}

/// An application that reads a chunked body and counts its bytes, framing included.
fn counting() -> (String, Arc<AtomicU64>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let received = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&received);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut piece = vec![0_u8; 1 << 20];
            let mut last = Vec::new();
            while let Ok(length @ 1..) = socket.read(&mut piece) {
                counted.fetch_add(length as u64, Ordering::SeqCst);
                last.extend_from_slice(&piece[length.saturating_sub(16)..length]);
                if last.ends_with(b"\r\n0\r\n\r\n") {
                    let _ = socket.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
                    break;
                }
                last.drain(..last.len().saturating_sub(16));
            }
        }
    });
    (url, received)
}
