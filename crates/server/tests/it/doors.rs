use crate::support::TestServer;

async fn status(server: &TestServer, headers: &str) -> (u16, String) {
    let reply = server.send(format!("GET /api/ping HTTP/1.1\r\n{headers}connection: close\r\n\r\n")).await;
    (reply.status, reply.code().to_owned())
}

#[tokio::test]
async fn a_request_for_another_host_is_misdirected() {
    let server = TestServer::with(&[("allowed_hosts", "escrow.internal")]).await;
    let port = server.address.port();
    for host in ["localhost", "127.0.0.1", "[::1]", "escrow.internal"] {
        assert_eq!(status(&server, &format!("host: {host}:{port}\r\n")).await.0, 200, "{host}");
    }
    for host in ["evil.example", "10.9.9.9", "escrow.internal.evil"] {
        let refused = status(&server, &format!("host: {host}:{port}\r\n")).await;
        assert_eq!(refused, (421, "unknown_host".to_owned()), "{host}");
    }
    assert_eq!(status(&server, "").await, (400, "bad_host".to_owned()));
    assert_eq!(status(&server, "host: localhost\r\nhost: evil\r\n").await, (400, "bad_host".to_owned()));
}

#[tokio::test]
async fn a_page_of_another_origin_is_kept_out() {
    let server = TestServer::start().await;
    let own = "host: localhost:9\r\norigin: http://localhost:9\r\n";
    assert_eq!(status(&server, own).await.0, 200);
    for origin in ["http://evil.example", "http://localhost:3000", "null"] {
        let refused = status(&server, &format!("host: localhost:9\r\norigin: {origin}\r\n")).await;
        assert_eq!(refused, (403, "foreign_origin".to_owned()), "{origin}");
    }
    for (site, expected) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403), ("", 403)] {
        let found = status(&server, &format!("host: localhost:9\r\nsec-fetch-site: {site}\r\n")).await;
        assert_eq!(found.0, expected, "{site}");
    }
}
