//! Framing and header attacks over HTTP/1, as raw bytes: each with what the client hears and what the upstream gets, byte by
//! byte. What policy refuses never reaches the upstream.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::service::Service;
use crate::upstream::Upstream;

/// What becomes of it.
enum Fate {
    /// Refused with one of these statuses; 0 is a connection closed without a word. Nothing reaches the upstream.
    Refused(&'static [u16]),
    /// Answered by us with this status: it is ours, or nobody's. Nothing reaches the upstream.
    Ours(u16),
    /// Exactly this reaches the upstream, fields sorted, besides those that every request has.
    Passed(&'static str),
    /// The same, and behind it the connection is refused with this status.
    PassedThen(&'static str, u16),
}

use Fate::{Ours, Passed, PassedThen, Refused};

/// `HOST` is the service's own. `^` stands for CRLF.
const TABLE: &[(&str, &str, Fate)] = &[
    ("plain", "GET /a?b=c HTTP/1.1^Host: HOST^^", Passed("GET /a?b=c HTTP/1.1\n\n")),
    (
        "a body",
        "POST /a HTTP/1.1^Host: HOST^Content-Length: 3^^abc",
        Passed("POST /a HTTP/1.1\ncontent-length: 3\n\nabc"),
    ),
    (
        "chunks",
        "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked^^3^abc^0^^",
        Passed("POST /a HTTP/1.1\ntransfer-encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n"),
    ),
    (
        "an empty body",
        "POST /a HTTP/1.1^Host: HOST^Content-Length: 0^^",
        Passed("POST /a HTTP/1.1\ncontent-length: 0\n\n"),
    ),
    // Two lengths.
    ("CL.TE", "POST /a HTTP/1.1^Host: HOST^Content-Length: 6^Transfer-Encoding: chunked^^0^^G", Refused(&[400])),
    (
        "TE.CL",
        "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked^Content-Length: 3^^8^SMUGGLED^0^^",
        Refused(&[400]),
    ),
    (
        "CL.0 beside TE",
        "POST /a HTTP/1.1^Host: HOST^Content-Length: 0^Transfer-Encoding: chunked^^0^^",
        Refused(&[400]),
    ),
    (
        "CL and TE, odd case",
        "POST /a HTTP/1.1^Host: HOST^CONTENT-length: 6^tRANSFER-encoding: chunked^^0^^G",
        Refused(&[400]),
    ),
    ("two CL", "POST /a HTTP/1.1^Host: HOST^Content-Length: 3^Content-Length: 4^^abcd", Refused(&[400])),
    ("two CL, one line", "POST /a HTTP/1.1^Host: HOST^Content-Length: 3, 4^^abcd", Refused(&[400])),
    ("two equal CL, one line", "POST /a HTTP/1.1^Host: HOST^Content-Length: 3, 3^^abc", Refused(&[400])),
    // Lengths that are no numbers.
    ("CL +3", "POST /a HTTP/1.1^Host: HOST^Content-Length: +3^^abc", Refused(&[400])),
    ("CL -1", "POST /a HTTP/1.1^Host: HOST^Content-Length: -1^^abc", Refused(&[400])),
    ("CL 0x3", "POST /a HTTP/1.1^Host: HOST^Content-Length: 0x3^^abc", Refused(&[400])),
    ("CL 3.0", "POST /a HTTP/1.1^Host: HOST^Content-Length: 3.0^^abc", Refused(&[400])),
    ("CL 3 3", "POST /a HTTP/1.1^Host: HOST^Content-Length: 3 3^^abc", Refused(&[400])),
    ("CL empty", "POST /a HTTP/1.1^Host: HOST^Content-Length: ^^abc", Refused(&[400])),
    ("CL beyond 64 bits", "POST /a HTTP/1.1^Host: HOST^Content-Length: 18446744073709551619^^abc", Refused(&[400])),
    ("CL beyond all", "POST /a HTTP/1.1^Host: HOST^Content-Length: 99999999999999999999999999^^abc", Refused(&[400])),
    ("CL with a vertical tab", "POST /a HTTP/1.1^Host: HOST^Content-Length: \u{b}3^^abc", Refused(&[400])),
    // Codings that are not one `chunked`.
    ("TE xchunked", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: xchunked^^0^^", Refused(&[400])),
    ("TE gzip, chunked", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: gzip, chunked^^0^^", Refused(&[400])),
    ("TE chunked, identity", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked, identity^^0^^", Refused(&[400])),
    ("TE identity", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: identity^^0^^", Refused(&[400])),
    (
        "TE twice",
        "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked^Transfer-Encoding: chunked^^0^^",
        Refused(&[400]),
    ),
    (
        "TE cow, then chunked",
        "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: cow^Transfer-Encoding: chunked^^0^^",
        Refused(&[400]),
    ),
    (
        "TE chunked, then cow",
        "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked^Transfer-Encoding: cow^^0^^",
        Refused(&[400]),
    ),
    ("TE in quotes", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: \"chunked\"^^0^^", Refused(&[400])),
    ("TE with a parameter", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked;q=1^^0^^", Refused(&[400])),
    ("TE with a vertical tab", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: \u{b}chunked^^0^^", Refused(&[400])),
    ("TE empty", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: ^^0^^", Refused(&[400])),
    ("TE, a space before the colon", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding : chunked^^0^^", Refused(&[400])),
    ("TE behind a fold", "POST /a HTTP/1.1^Host: HOST^X: y^ Transfer-Encoding: chunked^^0^^", Refused(&[400])),
    ("TE, its value folded", "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding:^ chunked^^0^^", Refused(&[400])),
    ("TE behind a bare CR", "POST /a HTTP/1.1^Host: HOST^X: y\rTransfer-Encoding: chunked^^0^^", Refused(&[400])),
    ("TE behind a bare LF", "POST /a HTTP/1.1^Host: HOST^X: y\nTransfer-Encoding: chunked^^0^^", Refused(&[400])),
    ("TE of HTTP/1.0", "POST /a HTTP/1.0^Host: HOST^Transfer-Encoding: chunked^^0^^", Refused(&[400])),
    (
        "CL named by Connection",
        "POST /a HTTP/1.1^Host: HOST^Connection: Content-Length^Content-Length: 3^^abc",
        Passed("POST /a HTTP/1.1\ncontent-length: 3\n\nabc"),
    ),
    (
        "TE named by Connection",
        "POST /a HTTP/1.1^Host: HOST^Connection: Transfer-Encoding^Transfer-Encoding: chunked^^1^x^0^^",
        Passed("POST /a HTTP/1.1\ntransfer-encoding: chunked\n\n1\r\nx\r\n0\r\n\r\n"),
    ),
    ("GET with a length", "GET /a HTTP/1.1^Host: HOST^Content-Length: 3^^abc", Refused(&[400])),
    ("GET with chunks", "GET /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked^^0^^", Refused(&[400])),
    ("HEAD with a length", "HEAD /a HTTP/1.1^Host: HOST^Content-Length: 3^^abc", Refused(&[400])),
    // Chunks.
    (
        "an extension",
        "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked^^3;a=b^abc^0^^",
        Passed("POST /a HTTP/1.1\ntransfer-encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n"),
    ),
    (
        "sizes with zeros",
        "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked^^0003^abc^000^^",
        Passed("POST /a HTTP/1.1\ntransfer-encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n"),
    ),
    (
        "a trailer that nobody announced",
        "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked^^3^abc^0^X-Forwarded-For: 6.6.6.6^^",
        Passed("POST /a HTTP/1.1\ntransfer-encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n"),
    ),
    (
        "a trailer that is no trailer",
        "POST /a HTTP/1.1^Host: HOST^Trailer: X-Forwarded-For, X-Sum^Transfer-Encoding: chunked^^3^abc^0^X-Forwarded-For: 6.6.6.6^X-Sum: 1^^",
        Passed(
            "POST /a HTTP/1.1\ntrailer: X-Forwarded-For, X-Sum\ntransfer-encoding: chunked\n\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
    ),
    // Lines.
    ("bare LF", "GET /a HTTP/1.1\nHost: HOST\n\n", Refused(&[400])),
    ("one bare LF", "GET /a HTTP/1.1^Host: HOST^X: y\nZ: z^^", Refused(&[400])),
    ("LF as the last line", "GET /a HTTP/1.1^Host: HOST^\n", Refused(&[400])),
    ("a bare CR in a value", "GET /a HTTP/1.1^Host: HOST^X: a\rb^^", Refused(&[400])),
    ("a fold", "GET /a HTTP/1.1^Host: HOST^X: a^ b^^", Refused(&[400])),
    ("a fold with a tab", "GET /a HTTP/1.1^Host: HOST^X: a^\tb^^", Refused(&[400])),
    ("a space before the colon", "GET /a HTTP/1.1^Host: HOST^X : a^^", Refused(&[400])),
    ("a tab before the colon", "GET /a HTTP/1.1^Host: HOST^X\t: a^^", Refused(&[400])),
    ("a space before the name", "GET /a HTTP/1.1^ Host: HOST^X: a^^", Refused(&[400])),
    ("no colon", "GET /a HTTP/1.1^Host: HOST^X^^", Refused(&[400])),
    ("no name", "GET /a HTTP/1.1^Host: HOST^: a^^", Refused(&[400])),
    ("NUL in a value", "GET /a HTTP/1.1^Host: HOST^X: a\0b^^", Refused(&[400])),
    ("a control character in a value", "GET /a HTTP/1.1^Host: HOST^X: a\u{1}b^^", Refused(&[400])),
    ("DEL in a value", "GET /a HTTP/1.1^Host: HOST^X: a\u{7f}b^^", Refused(&[400])),
    ("NUL in a name", "GET /a HTTP/1.1^Host: HOST^X\0: a^^", Refused(&[400])),
    ("a name beyond ASCII", "GET /a HTTP/1.1^Host: HOST^Xé: a^^", Refused(&[400])),
    ("a value beyond ASCII", "GET /a HTTP/1.1^Host: HOST^X: é^^", Passed("GET /a HTTP/1.1\nx: é\n\n")),
    ("a tab in a value", "GET /a HTTP/1.1^Host: HOST^X: a\tb^^", Passed("GET /a HTTP/1.1\nx: a\tb\n\n")),
    // The request line.
    ("HTTP/0.9", "GET /a^^", Refused(&[400, 0])),
    ("HTTP/2 without TLS's word", "PRI * HTTP/2.0^^SM^^", Refused(&[400, 0])),
    ("HTTP/1.2", "GET /a HTTP/1.2^Host: HOST^^", Refused(&[400, 505])),
    ("two spaces", "GET  /a HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("a tab", "GET\t/a HTTP/1.1^Host: HOST^^", Refused(&[400])),
    (
        "a request in the path",
        "GET /a HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0aGET /b HTTP/1.1^Host: HOST^^",
        Refused(&[400]),
    ),
    ("encoded line ends in the path", "GET /a%0d%0aX:%20y HTTP/1.1^Host: HOST^^", Refused(&[400])),
    (
        "encoded line ends in the query",
        "GET /a?b=%0d%0aX:%20y HTTP/1.1^Host: HOST^^",
        Passed("GET /a?b=%0d%0aX:%20y HTTP/1.1\n\n"),
    ),
    ("a fragment", "GET /a#/../scim HTTP/1.1^Host: HOST^^", Passed("GET /a HTTP/1.1\n\n")),
    ("a lower-case method", "get /a HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("CONNECT", "CONNECT localhost:22 HTTP/1.1^Host: localhost:22^^", Refused(&[405])),
    ("CONNECT with a path", "CONNECT /a HTTP/1.1^Host: HOST^^", Refused(&[405, 400])),
    ("TRACE", "TRACE /a HTTP/1.1^Host: HOST^^", Refused(&[405])),
    ("TRACK", "TRACK /a HTTP/1.1^Host: HOST^^", Refused(&[405])),
    ("an odd method", "GE|T /a HTTP/1.1^Host: HOST^^", Refused(&[400])),
    (
        "WebDAV",
        "PROPFIND /dav HTTP/1.1^Host: HOST^Depth: 1^Content-Length: 2^^ab",
        Passed("PROPFIND /dav HTTP/1.1\ncontent-length: 2\ndepth: 1\n\nab"),
    ),
    ("OPTIONS *", "OPTIONS * HTTP/1.1^Host: HOST^^", Refused(&[400])),
    // Which host.
    ("no Host", "GET /a HTTP/1.1^^", Refused(&[400])),
    ("two Hosts", "GET /a HTTP/1.1^Host: HOST^Host: HOST^^", Refused(&[400])),
    ("two Hosts that differ", "GET /a HTTP/1.1^Host: HOST^Host: evil.example^^", Refused(&[400])),
    ("a Host with a user", "GET /a HTTP/1.1^Host: x@HOST^^", Refused(&[400])),
    ("a Host with a path", "GET /a HTTP/1.1^Host: HOST/x^^", Refused(&[400])),
    ("a Host with a space", "GET /a HTTP/1.1^Host: HOST evil.example^^", Refused(&[400])),
    ("an empty Host", "GET /a HTTP/1.1^Host:^^", Refused(&[400])),
    ("absolute form", "GET https://HOST/a?b HTTP/1.1^Host: HOST^^", Passed("GET /a?b HTTP/1.1\n\n")),
    ("absolute form of another host", "GET https://evil.example/a HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("absolute form with a user", "GET https://u@HOST/a HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("absolute form of ours", "GET https://HOST/scim/v2/Users HTTP/1.1^Host: HOST^^", Ours(401)),
    ("absolute form of HTTP/1.0", "GET https://HOST/a HTTP/1.0^^", Passed("GET /a HTTP/1.1\n\n")),
    ("absolute form of what is no host, in HTTP/1.0", "GET https://a,b;c='x'/a HTTP/1.0^^", Refused(&[400])),
    ("absolute form with a user, in HTTP/1.0", "GET https://u@HOST/a HTTP/1.0^^", Refused(&[400])),
    ("authority form", "GET HOST HTTP/1.1^Host: HOST^^", Refused(&[400])),
    // Ours whatever it looks like.
    ("/;x/scim", "GET /;x/scim/v2/Users HTTP/1.1^Host: HOST^^", Ours(404)),
    ("/%3bx//%20/scim", "GET /%3bx//%20/scim/v2/Users HTTP/1.1^Host: HOST^^", Ours(404)),
    ("/;/oauth2", "GET /;/oauth2/nobody/authorize HTTP/1.1^Host: HOST^^", Ours(404)),
    (
        "our metadata, with parameters",
        "GET /.well-known;x/oauth-authorization-server;y/oauth2;z/nobody HTTP/1.1^Host: HOST^^",
        Ours(404),
    ),
    ("//scim", "GET //scim/v2/Users HTTP/1.1^Host: HOST^^", Ours(401)),
    ("/%73cim", "GET /%73cim/v2/Users HTTP/1.1^Host: HOST^^", Ours(401)),
    ("/SCIM", "GET /SCIM/v2/Users HTTP/1.1^Host: HOST^^", Ours(401)),
    ("/scim;x", "GET /scim;x/v2/Users HTTP/1.1^Host: HOST^^", Ours(404)),
    ("/scim%3bx", "GET /scim%3bx/v2/Users HTTP/1.1^Host: HOST^^", Ours(404)),
    ("/scim.", "GET /scim./v2/Users HTTP/1.1^Host: HOST^^", Ours(404)),
    ("/scim%20", "GET /scim%20/v2/Users HTTP/1.1^Host: HOST^^", Ours(404)),
    ("/scim?", "GET /scim?x HTTP/1.1^Host: HOST^^", Ours(401)),
    ("/OAUTH2", "GET /OAUTH2/nobody/authorize HTTP/1.1^Host: HOST^^", Ours(404)),
    ("our metadata", "GET /.well-known/oauth-authorization-server/oauth2/nobody HTTP/1.1^Host: HOST^^", Ours(404)),
    ("hidden, with parameters", "GET /;a/index.php;b=c/scim;d HTTP/1.1^Host: HOST^^", Ours(404)),
    ("hidden, with encoded parameters", "GET /index.php%3Bb/%3b/scim%3bd/v2 HTTP/1.1^Host: HOST^^", Ours(404)),
    ("hidden, with dots and spaces", "GET /index.php./scim%20./v2 HTTP/1.1^Host: HOST^^", Ours(404)),
    ("hidden", "GET /index.php//%73CIM/v2/Users HTTP/1.1^Host: HOST^^", Ours(404)),
    (
        "beside what is hidden",
        "GET /index.php/scimitar HTTP/1.1^Host: HOST^^",
        Passed("GET /index.php/scimitar HTTP/1.1\n\n"),
    ),
    ("/scimitar", "GET /scimitar HTTP/1.1^Host: HOST^^", Passed("GET /scimitar HTTP/1.1\n\n")),
    ("/a//scim", "GET /a//scim HTTP/1.1^Host: HOST^^", Passed("GET /a//scim HTTP/1.1\n\n")),
    ("/./scim", "GET /./scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("/a/../scim", "GET /a/../scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("/a/%2e%2e/scim", "GET /a/%2e%2e/scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("/a/.%2E/scim", "GET /a/.%2E/scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("/a/..;/scim", "GET /a/..;/scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("/a/..;x=y/scim", "GET /a/..;x=y/scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("/a/%2e.%3Bx/scim", "GET /a/%2e.%3Bx/scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("/.;/scim", "GET /.;/scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("/a/..%20/scim", "GET /a/..%20/scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("/a/..%20;x/scim", "GET /a/..%20;x/scim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    (
        "parameters of a folder",
        "GET /a/;jsessionid=1?b HTTP/1.1^Host: HOST^^",
        Passed("GET /a/;jsessionid=1?b HTTP/1.1\n\n"),
    ),
    ("parameters with dots", "GET /a;b=../c..d;.. HTTP/1.1^Host: HOST^^", Passed("GET /a;b=../c..d;.. HTTP/1.1\n\n")),
    ("a trailing ..", "GET /a/.. HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("%2fscim", "GET /%2fscim/v2/Users HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("a%2Fb", "GET /a%2Fb HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("a\\b", "GET /a\\..\\scim HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("a%5cb", "GET /a%5c..%5cscim HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("a%00b", "GET /a%00.php HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("half an encoded byte", "GET /a%2 HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("no encoded byte", "GET /a%zz HTTP/1.1^Host: HOST^^", Refused(&[400])),
    ("encoded twice", "GET /%2573cim HTTP/1.1^Host: HOST^^", Passed("GET /%2573cim HTTP/1.1\n\n")),
    (
        "byte for byte",
        "GET /a//b;c=d/%41%c3%a4/~'()*!$&+,=:@/... HTTP/1.1^Host: HOST^^",
        Passed("GET /a//b;c=d/%41%c3%a4/~'()*!$&+,=:@/... HTTP/1.1\n\n"),
    ),
    // Claims.
    (
        "X-Forwarded-*",
        "GET /a HTTP/1.1^Host: HOST^X-Forwarded-For: 6.6.6.6^X-Forwarded-Proto: http^X-Forwarded-Host: evil^X-Forwarded-Port: 1^X-Forwarded-Prefix: /x^X-Forwarded-Server: evil^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    ("Forwarded", "GET /a HTTP/1.1^Host: HOST^Forwarded: for=6.6.6.6;proto=http^^", Passed("GET /a HTTP/1.1\n\n")),
    (
        "other claims",
        "GET /a HTTP/1.1^Host: HOST^X-Real-IP: 6.6.6.6^True-Client-IP: 6.6.6.6^Client-IP: 6.6.6.6^X-Client-IP: 6.6.6.6^CF-Connecting-IP: 6.6.6.6^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    (
        "another path",
        "GET /a HTTP/1.1^Host: HOST^X-Original-URL: /scim/v2/Users^X-Rewrite-URL: /scim/v2/Users^X-Original-URI: /x^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    ("another host", "GET /a HTTP/1.1^Host: HOST^X-Host: evil^X-Original-Host: evil^^", Passed("GET /a HTTP/1.1\n\n")),
    ("httpoxy", "GET /a HTTP/1.1^Host: HOST^Proxy: http://evil.example^^", Passed("GET /a HTTP/1.1\n\n")),
    (
        "underscores",
        "GET /a HTTP/1.1^Host: HOST^X_Forwarded_For: 6.6.6.6^Content_Length: 3^X-Ok: 1^^",
        Passed("GET /a HTTP/1.1\nx-ok: 1\n\n"),
    ),
    (
        "dots and other marks",
        "GET /a HTTP/1.1^Host: HOST^X.Forwarded.For: 6.6.6.6^X!Y: 1^X~Y: 1^X|Y: 1^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    ("a request id", "GET /a HTTP/1.1^Host: HOST^X-Request-Id: mine^^", Passed("GET /a HTTP/1.1\n\n")),
    // Connection.
    (
        "hop by hop",
        "GET /a HTTP/1.1^Host: HOST^Connection: close, X-Secret^X-Secret: 1^Keep-Alive: timeout=9^Proxy-Connection: keep-alive^Proxy-Authorization: Basic eA==^X-Ok: 1^^",
        Passed("GET /a HTTP/1.1\nx-ok: 1\n\n"),
    ),
    (
        "Connection: X-Forwarded-For",
        "GET /a HTTP/1.1^Host: HOST^Connection: X-Forwarded-For, Forwarded, X-Forwarded-Proto^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    (
        "Connection: Host",
        "GET /a HTTP/1.1^Host: HOST^Connection: Host, X-Request-Id, CDN-Loop^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    (
        "Connection: Cookie",
        "GET /a HTTP/1.1^Host: HOST^Connection: Cookie^Cookie: a=b^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    (
        "two Connections",
        "GET /a HTTP/1.1^Host: HOST^Connection: X-A^Connection: x-b^X-A: 1^X-B: 2^X-C: 3^^",
        Passed("GET /a HTTP/1.1\nx-c: 3\n\n"),
    ),
    (
        "TE: trailers",
        "GET /a HTTP/1.1^Host: HOST^TE: gzip, trailers;q=0.5^Connection: TE^^",
        Passed("GET /a HTTP/1.1\nconnection: TE\nte: trailers\n\n"),
    ),
    ("TE: gzip", "GET /a HTTP/1.1^Host: HOST^TE: gzip^^", Passed("GET /a HTTP/1.1\n\n")),
    (
        "cookies",
        "GET /a HTTP/1.1^Host: HOST^Cookie: a=b^Cookie: c=d^^",
        Passed("GET /a HTTP/1.1\ncookie: a=b; c=d\n\n"),
    ),
    // Upgrades.
    (
        "h2c",
        "GET /a HTTP/1.1^Host: HOST^Connection: Upgrade, HTTP2-Settings^Upgrade: h2c^HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA^^",
        Refused(&[400]),
    ),
    (
        "h2c beside websocket",
        "GET /a HTTP/1.1^Host: HOST^Connection: Upgrade^Upgrade: websocket, h2c^^",
        Refused(&[400]),
    ),
    ("HTTP2-Settings alone", "GET /a HTTP/1.1^Host: HOST^HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA^^", Refused(&[400])),
    (
        "another protocol",
        "GET /a HTTP/1.1^Host: HOST^Connection: Upgrade^Upgrade: TLS/1.0^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    (
        "two protocols",
        "GET /a HTTP/1.1^Host: HOST^Connection: Upgrade^Upgrade: websocket, foo^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    (
        "websocket that Connection does not name",
        "GET /a HTTP/1.1^Host: HOST^Upgrade: websocket^^",
        Passed("GET /a HTTP/1.1\n\n"),
    ),
    (
        "websocket by POST",
        "POST /a HTTP/1.1^Host: HOST^Connection: Upgrade^Upgrade: websocket^Content-Length: 1^^x",
        Passed("POST /a HTTP/1.1\ncontent-length: 1\n\nx"),
    ),
    (
        "websocket that is refused",
        "GET /a HTTP/1.1^Host: HOST^Connection: Upgrade^Upgrade: websocket^Sec-WebSocket-Version: 777^^GET /scim/v2/Users HTTP/1.1^Host: HOST^^",
        PassedThen("GET /a HTTP/1.1\nconnection: Upgrade\nsec-websocket-version: 777\nupgrade: websocket\n\n", 401),
    ),
    ("an expectation", "PUT /a HTTP/1.1^Host: HOST^Expect: tea^Content-Length: 1^^x", Refused(&[417])),
    // Two requests.
    (
        "one behind another",
        "GET /a HTTP/1.1^Host: HOST^^GET /b HTTP/1.1^Host: HOST^^",
        Passed("GET /a HTTP/1.1\n\nGET /b HTTP/1.1\n\n"),
    ),
    (
        "a bad one behind a good one",
        "GET /a HTTP/1.1^Host: HOST^^POST /b HTTP/1.1^Host: HOST^Content-Length: 5^Transfer-Encoding: chunked^^0^^",
        PassedThen("GET /a HTTP/1.1\n\n", 400),
    ),
    (
        "bare LF behind a good one",
        "GET /a HTTP/1.1^Host: HOST^^GET /b HTTP/1.1\nHost: HOST\n\n",
        PassedThen("GET /a HTTP/1.1\n\n", 400),
    ),
    (
        "a bad one behind a body",
        "POST /a HTTP/1.1^Host: HOST^Content-Length: 1^^xPOST /b HTTP/1.1^Host: HOST^Content-Length: 5^Transfer-Encoding: chunked^^0^^",
        PassedThen("POST /a HTTP/1.1\ncontent-length: 1\n\nx", 400),
    ),
    (
        "a bad one behind chunks",
        "POST /a HTTP/1.1^Host: HOST^Transfer-Encoding: chunked^^1^x^0^^POST /b HTTP/1.1^Host: HOST^Content-Length: 5^Transfer-Encoding: chunked^^0^^",
        PassedThen("POST /a HTTP/1.1\ntransfer-encoding: chunked\n\n1\r\nx\r\n0\r\n\r\n", 400),
    ),
    (
        "HTTP/1.0, kept alive",
        "GET /a HTTP/1.0^Host: HOST^Connection: keep-alive^^GET /b HTTP/1.0^Host: HOST^^",
        Passed("GET /a HTTP/1.1\n\nGET /b HTTP/1.1\n\n"),
    ),
    ("HTTP/1.0, closed", "GET /a HTTP/1.0^Host: HOST^^GET /b HTTP/1.0^Host: HOST^^", Passed("GET /a HTTP/1.1\n\n")),
];

/// Sends bytes and reads the statuses of all answers until nothing more comes.
fn statuses(service: &Service, bytes: &[u8]) -> (Vec<u16>, String) {
    let mut stream = service.client().connect().expect("a connection");
    stream.sock.set_read_timeout(Some(Duration::from_millis(250))).expect("a timeout");
    stream.write_all(bytes).expect("written");
    stream.flush().expect("sent");
    let mut answer = Vec::new();
    let mut piece = [0_u8; 16 * 1024];
    let patience = Instant::now() + Duration::from_secs(3);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
            // Slow under load: an answer that did not begin is waited for.
            Err(_) if answer.is_empty() && Instant::now() < patience => {}
            Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let statuses = text.split("HTTP/1.").skip(1).filter_map(|part| part.get(2..5)?.parse().ok()).collect();
    (statuses, text)
}

#[test]
fn raw_requests() {
    let upstream = Upstream::ok();
    let service = crate::service(&format!("{{ url: {}, hide: [/index.php/scim] }}", upstream.url()));
    let host = format!("localhost:{}", service.address().port());
    let mut wrong = Vec::new();
    for (name, request, fate) in TABLE {
        let bytes = request.replace('^', "\r\n").replace("HOST", &host);
        let (statuses, text) = statuses(&service, bytes.as_bytes());
        let seen = upstream.take();
        let fine = match fate {
            Refused(expected) => {
                let status = statuses.first().copied().unwrap_or(0);
                expected.contains(&status) && statuses.len() <= 1 && seen.is_empty()
            }
            Ours(expected) => statuses == [*expected] && seen.is_empty(),
            Passed(expected) => {
                statuses.iter().all(|status| *status == 200) && !statuses.is_empty() && seen == *expected
            }
            PassedThen(expected, status) => statuses == [200, *status] && seen == *expected,
        };
        if !fine {
            wrong.push(format!(
                "{name}: {statuses:?}; upstream: {seen:?}\n    {}",
                text.lines().last().unwrap_or_default()
            ));
        }
    }
    assert!(TABLE.len() >= 60);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
}

#[test]
fn oversize_and_broken_bodies() {
    let upstream = Upstream::ok();
    let service = crate::service_with(&upstream.url(), "limits: { body_idle: 1s }");
    let host = format!("Host: localhost:{}", service.address().port());
    let many: String = (0..65).map(|n| format!("X-{n}: 1\r\n")).collect();
    let large = "x".repeat(20_000);
    for (name, request, expected) in [
        ("65 fields", format!("GET /a HTTP/1.1\r\n{host}\r\n{many}\r\n"), 431),
        ("a large field", format!("GET /a HTTP/1.1\r\n{host}\r\nX: {large}\r\n\r\n"), 431),
        ("a long path", format!("GET /{large} HTTP/1.1\r\n{host}\r\n\r\n"), 414),
    ] {
        let (statuses, text) = statuses(&service, request.as_bytes());
        assert!(statuses == [expected] || statuses == [431], "{name}: {statuses:?} {text}");
        assert_eq!(upstream.take(), "", "{name}");
    }
    // The head goes on before the body is there, but the request never becomes whole.
    let post = format!("POST /a HTTP/1.1\r\n{host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (name, body, expected) in [
        ("a size that is none", "g\r\nabc\r\n0\r\n\r\n", 400),
        ("a negative size", "-3\r\nabc\r\n0\r\n\r\n", 400),
        ("0x", "0x3\r\nabc\r\n0\r\n\r\n", 400),
        ("a size beyond 64 bits", "10000000000000003\r\nabc\r\n0\r\n\r\n", 400),
        ("no line end behind a chunk", "3\r\nabcX0\r\n\r\n", 400),
        ("a chunk longer than it says", "3\r\nabcdef\r\n0\r\n\r\n", 400),
        ("bare LF behind a size", "3\nabc\r\n0\r\n\r\n", 400),
        ("bare LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
        ("bare LF behind a chunk", "3\r\nabc\n0\r\n\r\n", 400),
        ("bare CR behind a size", "3\rabc\r\n0\r\n\r\n", 400),
        ("a space before the size", " 3\r\nabc\r\n0\r\n\r\n", 400),
        ("no size", "\r\nabc\r\n0\r\n\r\n", 400),
        ("it pauses", "3\r\nab", 408),
    ] {
        let (statuses, text) = statuses(&service, format!("{post}{body}").as_bytes());
        let seen = upstream.take();
        assert_eq!(statuses, [expected], "{name}: {text}");
        assert!(!seen.contains("0\r\n\r\n"), "{name}: whole at the upstream: {seen:?}");
    }
    let fixed = format!("POST /a HTTP/1.1\r\n{host}\r\nContent-Length: 5\r\n\r\nab");
    assert_eq!(statuses(&service, fixed.as_bytes()).0, [408]);
    assert_eq!(upstream.take(), "POST /a HTTP/1.1\ncontent-length: 5\n\nab");
    service.client().get("/Users").expect(200);
}

/// What a proxy in front may say, and what of it is believed.
#[test]
fn behind_a_trusted_proxy() {
    let upstream = Upstream::ok();
    let service = crate::service_with(&upstream.url(), "trusted_proxies: [127.0.0.1]");
    let host = format!("localhost:{}", service.address().port());
    for (headers, expected) in [
        ("", format!("for=127.0.0.1;proto=https;host=\"{host}\"|127.0.0.1|https|{host}")),
        (
            "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n",
            format!("for=192.0.2.1;proto=https;host=\"{host}\"|192.0.2.1|https|{host}"),
        ),
        (
            "X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: HTTP\r\nX-Forwarded-Host: app.example\r\n",
            "for=\"[2001:db8::1]\";proto=http;host=\"app.example\"|2001:db8::1|http|app.example".to_owned(),
        ),
        (
            "Forwarded: for=6.6.6.6;proto=ftp, for=192.0.2.1;proto=http;host=app.example\r\n",
            "for=192.0.2.1;proto=http;host=\"app.example\"|192.0.2.1|http|app.example".to_owned(),
        ),
        // What a client made of its Host, in the quotes that the proxy put around it.
        (
            "Forwarded: for=192.0.2.1;host=\"a;proto=http\";proto=https\r\n",
            format!("for=192.0.2.1;proto=https;host=\"{host}\"|192.0.2.1|https|{host}"),
        ),
        (
            "Forwarded: for=192.0.2.1;host=\"a, for=192.0.2.1;host=evil.example;x=\";proto=http\r\n",
            format!("for=192.0.2.1;proto=http;host=\"{host}\"|192.0.2.1|http|{host}"),
        ),
        (
            "Forwarded: for=192.0.2.1;proto=http;proto=https;host=\"app.example\";, \r\n",
            "for=192.0.2.1;proto=https;host=\"app.example\"|192.0.2.1|https|app.example".to_owned(),
        ),
        ("Forwarded: for=unknown\r\n", format!("for=unknown;proto=https;host=\"{host}\"|127.0.0.1|https|{host}")),
        (
            "X-Forwarded-Proto: https, http\r\n",
            format!("for=127.0.0.1;proto=https;host=\"{host}\"|127.0.0.1|https|{host}"),
        ),
        ("X-Forwarded-Host: a\"b\r\n", format!("for=127.0.0.1;proto=https;host=\"{host}\"|127.0.0.1|https|{host}")),
    ] {
        let request = format!("GET /a HTTP/1.1\r\nHost: {host}\r\nX-Real-IP: 6.6.6.6\r\n{headers}\r\n");
        let (statuses, text) = statuses(&service, request.as_bytes());
        assert_eq!(statuses, [200], "{headers}: {text}");
        let seen = String::from_utf8(upstream.seen()).unwrap();
        let head = seen.rsplit("GET /a").next().unwrap();
        let field = |name: &str| {
            let mut values = head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let value = values.next().unwrap_or_default().to_owned();
            assert_eq!(values.next(), None, "{name} twice");
            value
        };
        let said = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(field).join("|");
        assert_eq!(said, expected, "{headers}");
        assert!(!head.contains("x-real-ip"), "{head}");
    }
    let disagree =
        format!("GET /a HTTP/1.1\r\nHost: {host}\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n");
    let before = upstream.seen().len();
    assert_eq!(statuses(&service, disagree.as_bytes()).0, [400]);
    assert_eq!(upstream.seen().len(), before);
}
