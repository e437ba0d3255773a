use tokio::net::TcpListener;

use super::*;

/// A client whose server reads one request after the other and answers each with the next of these texts, in the pieces given;
/// what the server read comes out at the end.
async fn talk(answers: &'static [&'static [&'static str]]) -> (Connection, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut connection = Connection::over(listener.accept().await.unwrap().0).unwrap();
        let mut targets = Vec::new();
        for answer in answers {
            targets.push(connection.next_request().await.unwrap().unwrap().target.to_owned());
            for piece in *answer {
                connection.answer(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        targets
    });
    (Connection::open(address).await.unwrap(), server)
}

#[tokio::test]
async fn replies_of_known_length_and_in_chunks_follow_each_other_on_one_connection() {
    let (mut client, server) = talk(&[
        &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"],
        &["HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3;x=y\r\nond\r\n0\r\n\r\n"],
        &["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
    ])
    .await;
    for (path, status, body) in [("/a?gid=1", 200, "first"), ("/b", 409, "second"), ("/c", 200, "")] {
        let reply = client.post(path, "{}").await.unwrap();
        assert_eq!((reply.status, reply.body), (status, body.as_bytes()));
    }
    assert_eq!(server.await.unwrap(), ["/a?gid=1", "/b", "/c"]);
}

#[tokio::test]
async fn a_get_has_no_body_and_shares_the_connection_with_posts() {
    let (mut client, server) = talk(&[
        &["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ngot"],
        &["HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nposted"],
    ])
    .await;
    assert_eq!(client.get("/a?gid=1").await.unwrap().body, b"got");
    assert_eq!(client.post("/b", "{}").await.unwrap().body, b"posted");
    assert_eq!(server.await.unwrap(), ["/a?gid=1", "/b"]);
}

#[tokio::test]
async fn a_reply_may_come_in_pieces_cut_anywhere() {
    let (mut client, server) = talk(&[
        &["HTT", "P/1.1 200 OK\r\ncontent-le", "ngth: 4\r\n\r", "\nwh", "ol"],
        &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1", "\r\n", "x", "\r\n0\r\ntrailer: t\r", "\n\r\n"],
    ])
    .await;
    assert_eq!(client.post("/", "{}").await.unwrap().body, b"whol");
    assert_eq!(client.post("/", "{}").await.unwrap().body, b"x");
    server.await.unwrap();
}

#[tokio::test]
async fn requests_sent_at_once_are_read_one_by_one_with_their_bodies_passed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Connection::open(listener.local_addr().unwrap()).await.unwrap();
    let mut server = Connection::over(listener.accept().await.unwrap().0).unwrap();
    let sent = "POST /one HTTP/1.1\r\ncontent-length: 3\r\n\r\nGETPOST /two HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
                2\r\nab\r\n0\r\n\r\nGET /three HTTP/1.1\r\n\r\n";
    client.answer(sent).await.unwrap();
    drop(client);
    for target in ["/one", "/two", "/three"] {
        assert_eq!(server.next_request().await.unwrap().unwrap().target, target);
    }
    assert!(server.next_request().await.unwrap().is_none());
}

#[tokio::test]
async fn a_message_longer_than_the_buffer_comes_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Connection::open(listener.local_addr().unwrap()).await.unwrap();
    let mut server = Connection::over(listener.accept().await.unwrap().0).unwrap();
    let body = "x".repeat(10 * BUFFER_BYTES);
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let serve = async {
        server.next_request().await.unwrap().unwrap();
        server.answer(&reply).await.unwrap();
    };
    let (got, ()) = tokio::join!(client.post("/", &body), serve);
    assert_eq!(got.unwrap().body, body.as_bytes());
}

#[tokio::test]
async fn what_is_no_reply_is_an_error() {
    for (reply, kind) in [
        (&["no http at all\r\n\r\n"], ErrorKind::InvalidData),
        (&["HTTP/1.1 200 OK\r\n\r\n"], ErrorKind::InvalidData),
        (&["HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"], ErrorKind::InvalidData),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"], ErrorKind::InvalidData),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ncut"], ErrorKind::UnexpectedEof),
        (&[""], ErrorKind::UnexpectedEof),
    ] {
        let (mut client, _server) = talk(Box::leak(Box::new([&reply[..]]))).await;
        assert_eq!(client.post("/", "{}").await.unwrap_err().kind(), kind, "{reply:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_other_end_has_closed_is_not_open() {
    let (mut client, server) = talk(&[&["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]]).await;
    client.post("/", "{}").await.unwrap();
    server.await.unwrap();
    client.stream.readable().await.unwrap();
    assert!(!client.is_open());

    let (client, _server) = talk(&[&[]]).await;
    assert!(client.is_open());
}
