//! A few files by HTTP/1.1, to machines that start from the network.
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::News;

/// What is served, by name.
pub type Files = Arc<BTreeMap<&'static str, Arc<[u8]>>>;

/// A head is no longer, in bytes.
const HEAD: usize = 8 << 10;
/// Connections at once; a machine has one.
const MOST: usize = 32;
/// Who neither asks nor takes anything for so long is gone.
const PATIENCE: Duration = Duration::from_secs(20);
/// Sent between two words of how far it is.
const PART: usize = 256 << 10;

/// Answers until the program ends.
pub fn serve(listener: &TcpListener, files: &Files, news: &Sender<News>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::Relaxed) >= MOST {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (files, news, held) = (Arc::clone(files), news.clone(), Arc::clone(&open));
        std::thread::spawn(move || {
            // Who hangs up has had what it wanted, or comes again.
            let _ = connection(stream, &files, &news);
            held.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn connection(mut stream: TcpStream, files: &Files, news: &Sender<News>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let peer = stream.peer_addr()?.ip();
    let mut head = Vec::new();
    loop {
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer)?;
        head.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if length == 0 || head.len() > HEAD {
            return Ok(());
        }
        while let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            if !answer(&mut stream, peer, &head, files, news)? {
                return Ok(());
            }
            head = rest;
        }
    }
}

/// Says whether the connection goes on.
fn answer(stream: &mut TcpStream, peer: IpAddr, head: &[u8], files: &Files, news: &Sender<News>) -> io::Result<bool> {
    let head = String::from_utf8_lossy(head);
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, body) = match (method, files.get_key_value(path.trim_start_matches('/'))) {
        ("GET" | "HEAD", Some((_, file))) => ("200 OK", Arc::clone(file)),
        ("GET" | "HEAD", None) => ("404 Not Found", Arc::from(&b"there is no such file\n"[..])),
        _ => ("405 Method Not Allowed", Arc::from(&b"files are read here\n"[..])),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nContent-Type: application/octet-stream\r\n\r\n")?;
    if method == "HEAD" {
        return Ok(true);
    }
    let mut sent = 0;
    for part in body.chunks(PART) {
        stream.write_all(part)?;
        sent += part.len();
        if status.starts_with("200") && length > PART {
            // The program may be ending.
            let _ = news.send(News::Loading { peer, sent, length });
        }
    }
    Ok(!head.contains("HTTP/1.0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn server(files: Files) -> (std::net::SocketAddr, std::sync::mpsc::Receiver<News>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (news, heard) = channel();
        std::thread::spawn(move || serve(&listener, &files, &news));
        (address, heard)
    }

    fn ask(address: std::net::SocketAddr, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    #[test]
    fn files_are_given_and_how_far_it_is_is_told() {
        let file: Arc<[u8]> = (0..700_000u32).map(|at| at as u8).collect();
        let (address, heard) = server(Arc::new(BTreeMap::from([("a", Arc::clone(&file))])));
        let answer = ask(address, b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n"));
        assert!(answer.ends_with(&file));
        let far: Vec<usize> =
            heard.iter().take(3).map(|news| if let News::Loading { sent, .. } = news { sent } else { 0 }).collect();
        assert_eq!(far, [262_144, 524_288, 700_000]);
        let both = ask(address, b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
        let both = String::from_utf8(both).unwrap();
        assert!(both.starts_with("HTTP/1.1 200") && both.contains("HTTP/1.1 404"), "{both}");
        assert!(ask(address, b"POST /a HTTP/1.1\r\n\r\n").starts_with(b"HTTP/1.1 405"));
        assert_eq!(ask(address, b"GET /a HTTP/1.0\r\n\r\n").len(), answer.len());
    }

    #[test]
    fn what_never_ends_or_says_nothing_is_hung_up_on() {
        let (address, _heard) = server(Files::default());
        let mut stream = TcpStream::connect(address).unwrap();
        // It may hang up while we still write.
        let _ = stream.write_all(&[b'x'; 3 * HEAD]);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
        assert_eq!(ask(address, b"GET"), b"");
    }
}
