//! What is no HTTP, or not quite.

use super::{Expected, Row};

const HOST: &str = "host: localhost\r\n";
/// What a request smuggled into another would ask for.
const SMUGGLED: &str = "GET /api/dtmsvr/newGid HTTP/1.1\r\nhost: localhost\r\n\r\n";

pub(super) fn rows() -> Vec<Row> {
    [start_lines(), headers(), lengths(), chunks(), broken_off()].into_iter().flatten().collect()
}

/// A request with this header line.
fn with_header(line: &str) -> Vec<u8> {
    format!("GET /api/ping HTTP/1.1\r\n{HOST}{line}\r\n\r\n").into_bytes()
}

/// A submit with these header lines and this body.
fn submit(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /api/dtmsvr/submit HTTP/1.1\r\n{HOST}{headers}\r\n\r\n{body}").into_bytes()
}

fn start_lines() -> Vec<Row> {
    let start = |line: &str| format!("{line}\r\n{HOST}\r\n");
    vec![
        Row::answered("no HTTP at all", "hello\r\n\r\n", 400, ""),
        Row::answered("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), 400, ""),
        Row::new("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Expected::Closed),
        Row::answered("HTTP/0.9", "GET /api/ping\r\n\r\n", 400, ""),
        Row::answered("HTTP/9.9", start("GET /api/ping HTTP/9.9"), 400, ""),
        Row::answered("HTTP/2.0 in words", start("GET /api/ping HTTP/2.0"), 400, ""),
        Row::answered("a lower-case protocol", start("GET /api/ping http/1.1"), 400, ""),
        Row::answered("no method", start(" /api/ping HTTP/1.1"), 400, ""),
        Row::answered("a method with a NUL", start("GE\0T /api/ping HTTP/1.1"), 400, ""),
        Row::answered("a method in lower case", start("get /api/dtmsvr/newGid HTTP/1.1"), 404, ""),
        Row::answered("an unknown method", start("BREW /api/dtmsvr/submit HTTP/1.1"), 404, ""),
        Row::answered("a long method", start(&format!("{} /api/dtmsvr/submit HTTP/1.1", "A".repeat(9000))), 404, ""),
        Row::answered("a method without end", "A".repeat(70_000), 431, ""),
        Row::answered("two spaces in the first line", start("GET  /api/ping HTTP/1.1"), 400, ""),
        Row::answered("a NUL in the URL", start("GET /api/dtmsvr/query?gid=\0 HTTP/1.1"), 400, ""),
        Row::answered("a control character in the URL", start("GET /api/ping?\x01 HTTP/1.1"), 400, ""),
        Row::answered("a space in the URL", start("GET /api/ping? a HTTP/1.1"), 400, ""),
        Row::answered("a URL without a slash", start("GET api/ping HTTP/1.1"), 400, ""),
        Row::answered("the URL of everything", start("OPTIONS * HTTP/1.1"), 404, ""),
        Row::answered("a tunnel to elsewhere", start("CONNECT evil.example:443 HTTP/1.1"), 421, "unknown_host"),
        Row::answered("a tunnel to itself", start("CONNECT localhost:36789 HTTP/1.1"), 404, ""),
        Row::answered("a proxy's request", start("GET http://evil.example/api/ping HTTP/1.1"), 421, "unknown_host"),
        Row::answered("a bare CR ends the first line", format!("GET /api/ping HTTP/1.1\r{HOST}\r\n"), 400, ""),
    ]
}

fn headers() -> Vec<Row> {
    let many: String = (0..64).map(|number| format!("x{number}: y\r\n")).collect();
    vec![
        Row::answered("a header folded over two lines", with_header("x: a\r\n b"), 400, ""),
        Row::answered("a header folded with a tab", with_header("x: a\r\n\tb"), 400, ""),
        Row::answered("a bare CR in a header", with_header("x: a\rb: c"), 400, ""),
        Row::answered("a NUL in a header", with_header("x: a\0b"), 400, ""),
        Row::answered("a NUL in a header's name", with_header("x\0y: a"), 400, ""),
        Row::answered("a header without a colon", with_header("nothing"), 400, ""),
        Row::answered("a header without a name", with_header(": a"), 400, ""),
        Row::answered("a space in a header's name", with_header("x y: a"), 400, ""),
        Row::answered("a space before the colon", with_header("x : a"), 400, ""),
        Row::answered("a header's name in brackets", with_header("(x): a"), 400, ""),
        Row::answered("a name of Latin-1", with_header("x\u{e9}: a"), 400, ""),
        Row::answered("65 header lines", with_header(many.trim_end()), 431, "too_large"),
        Row::answered("a header of 16 KiB", with_header(&format!("x: {}", "y".repeat(16 * 1024))), 431, ""),
        Row::answered("an expectation that nobody meets", with_header("expect: 200-maybe"), 200, ""),
        Row::answered("an upgrade to HTTP/2", with_header("connection: upgrade\r\nupgrade: h2c"), 200, ""),
    ]
}

fn lengths() -> Vec<Row> {
    let mut rows: Vec<Row> = ["-1", "+5", "0x5", "5.0", "1e3", "", "5 5", "5, 6", "99999999999999999999", "five"]
        .into_iter()
        .map(|length| {
            let sent = submit(&format!("content-length: {length}"), SMUGGLED);
            Row::answered(format!("a length of {length:?}"), sent, 400, "")
        })
        .collect();
    let two = "content-length: 5\r\ncontent-length: 6";
    rows.push(Row::answered("two lengths", submit(two, "{bad}"), 400, ""));
    let vast = format!("content-length: {}", u64::MAX - 2);
    rows.push(Row::answered("a length of 16 EiB", submit(&vast, "{"), 413, "too_large"));
    let over = format!("content-length: {}", 8 * 1024 * 1024 + 1);
    rows.push(Row::answered("a length past the limit", submit(&over, "{"), 413, "too_large"));
    for (name, headers) in [
        ("a length before chunks", "content-length: 5\r\ntransfer-encoding: chunked"),
        ("a length after chunks", "transfer-encoding: chunked\r\ncontent-length: 5"),
    ] {
        // The chunks count, and the connection ends with the answer: nobody can disagree about what follows.
        let sent = submit(headers, &format!("0\r\n\r\n{SMUGGLED}"));
        rows.push(Row::answered(name, sent, 500, "malformed_body"));
    }
    for coding in ["chunked, identity", "identity", "gzip", "xchunked", "chunked;q=1", "\u{b}chunked", ""] {
        let sent = submit(&format!("transfer-encoding: {coding}"), &format!("0\r\n\r\n{SMUGGLED}"));
        rows.push(Row::answered(format!("a coding of {coding:?}"), sent, 400, ""));
    }
    let old =
        format!("POST /api/dtmsvr/submit HTTP/1.0\r\n{HOST}transfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    rows.push(Row::answered("chunks in HTTP/1.0", old, 400, ""));
    rows
}

fn chunks() -> Vec<Row> {
    let chunked = |name: &str, body: &str, status: u16, code: &'static str| {
        Row::answered(format!("chunks: {name}"), submit("transfer-encoding: chunked", body), status, code)
    };
    let trailers: String = (0..2000).map(|number| format!("x{number}: yyyyyyyyyy\r\n")).collect();
    vec![
        chunked("no length", "\r\n", 400, "broken_body"),
        chunked("letters for a length", "zz\r\n{}\r\n0\r\n\r\n", 400, "broken_body"),
        chunked("a negative length", "-1\r\n{}\r\n0\r\n\r\n", 400, "broken_body"),
        chunked("a prefix of the length", "0x2\r\n{}\r\n0\r\n\r\n", 400, "broken_body"),
        chunked("a length past 64 bits", "ffffffffffffffffff\r\n{}", 400, "broken_body"),
        chunked("a length of 16 EiB", "fffffffffffffffe\r\n{}", 408, "too_slow"),
        chunked("a chunk longer than it says", "1\r\n{}\r\n0\r\n\r\n", 400, "broken_body"),
        chunked("an extension without end", &format!("2;{}", "x".repeat(100_000)), 400, "broken_body"),
        chunked("a line break in an extension", "2;a\nb\r\n{}\r\n0\r\n\r\n", 400, "broken_body"),
        chunked("trailers without end", &format!("2\r\n{{}}\r\n0\r\n{trailers}"), 400, "broken_body"),
        chunked("nothing in them", "0\r\n\r\n", 500, "malformed_body"),
        chunked("bytes after them", "2\r\n{}\r\n0\r\n\r\nBOGUS\r\n\r\n", 500, "no_gid"),
    ]
}

fn broken_off() -> Vec<Row> {
    let ended = |name: &str, sent: Vec<u8>, expected| Row { half_closes: true, ..Row::new(name, sent, expected) };
    let broken = || Expected::Answer(400, "broken_body");
    vec![
        Row::new("nothing but line breaks", "\r\n\r\n\r\n", Expected::Closed),
        ended("nothing", Vec::new(), Expected::Closed),
        ended("half a header", b"POST /api/dtmsvr/submit HT".to_vec(), Expected::Closed),
        ended("half a body", submit("content-length: 99", "{\"gid\":\"g\""), broken()),
        ended("half a chunk", submit("transfer-encoding: chunked", "9\r\n{\"gid\""), broken()),
    ]
}
