//! A service of gRPC and its clients, made of `tonic` without generated code: messages are octets.

use std::future::Ready;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::stream::{self, Stream};
use http::HeaderMap;
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

/// Answers a message with the same message.
pub(crate) const ECHO: &str = "/pkg.Service/Echo";

/// Answers a message with three messages and a status: OK, or [`BUSY`] when the message is `fail`.
pub(crate) const COUNT: &str = "/pkg.Service/Count";

/// What `Echo` says to the message `fail`, with characters that are encoded on the way.
pub(crate) const NOT_NOW: (Code, &str) = (Code::FailedPrecondition, "not now: 100 %, später");

/// What `Count` ends with, behind its messages, after the message `fail`.
pub(crate) const BUSY: (Code, &str) = (Code::ResourceExhausted, "enough");

/// A running service, without TLS. It serves until its process ends.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// Somebody who calls a service.
pub(crate) struct Caller {
    channel: Channel,
    token: Option<String>,
}

struct Shared {
    seen: Mutex<Vec<HeaderMap>>,
    released: Semaphore,
}

impl Service {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            released: Semaphore::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || runtime.block_on(serve(listener, serving)));
        Self { address, shared }
    }

    /// Returns the fields of all calls that have arrived.
    pub(crate) fn seen(&self) -> Vec<HeaderMap> {
        self.shared.seen.lock().expect("no test holds it").clone()
    }

    /// Lets `Count` send so many more messages.
    pub(crate) fn release(&self, messages: usize) {
        self.shared.released.add_permits(messages);
    }
}

impl Caller {
    /// Returns somebody who calls whoever listens at an address, with a token or none. It connects with the first call.
    pub(crate) fn new(address: SocketAddr, token: Option<String>) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect_lazy();
        Self { channel, token }
    }

    /// Makes a call that is answered by one message.
    pub(crate) async fn unary(&self, method: &'static str, message: &'static str) -> Result<Bytes, Status> {
        let mut client = self.ready().await;
        let answer = client.unary(self.request(message), PathAndQuery::from_static(method), Octets);
        answer.await.map(Response::into_inner)
    }

    /// Makes a call that is answered by any number of messages.
    pub(crate) async fn streaming(
        &self,
        method: &'static str,
        message: &'static str,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut client = self.ready().await;
        let answer = client.server_streaming(self.request(message), PathAndQuery::from_static(method), Octets);
        answer.await.map(Response::into_inner)
    }

    async fn ready(&self) -> tonic::client::Grpc<Channel> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.expect("it connects");
        client
    }

    fn request(&self, message: &'static str) -> Request<Bytes> {
        let mut request = Request::new(Bytes::from_static(message.as_bytes()));
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {token}").parse().expect("a token is ASCII");
            request.metadata_mut().insert("authorization", bearer);
        }
        request
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        let h2 = http2::Builder::new(TokioExecutor::new());
        tokio::spawn(h2.serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<http::Response<tonic::body::Body>, std::convert::Infallible> {
    let fields = request.headers().clone();
    shared.seen.lock().expect("no test holds it").push(fields);
    let mut grpc = Grpc::new(Octets);
    Ok(match request.uri().path() {
        ECHO => grpc.unary(Echo, request).await,
        COUNT => grpc.server_streaming(Count(shared), request).await,
        _ => Status::unimplemented("no such method").into_http(),
    })
}

struct Echo;

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let message = request.into_inner();
        let (code, text) = NOT_NOW;
        std::future::ready(match &*message {
            b"fail" => Err(Status::new(code, text)),
            _ => Ok(Response::new(message)),
        })
    }
}

struct Count(Arc<Shared>);

impl ServerStreamingService<Bytes> for Count {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (shared, fails) = (Arc::clone(&self.0), &**request.get_ref() == b"fail");
        let messages = stream::unfold(0, move |sent| {
            let shared = Arc::clone(&shared);
            async move {
                if sent < 3 {
                    shared.released.acquire().await.expect("it is never closed").forget();
                    return Some((Ok(Bytes::from(sent.to_string())), sent + 1));
                }
                (fails && sent == 3).then(|| (Err(Status::new(BUSY.0, BUSY.1)), sent + 1))
            }
        });
        std::future::ready(Ok(Response::new(Box::pin(messages))))
    }
}

/// Messages as octets.
#[derive(Clone, Copy)]
struct Octets;

impl Codec for Octets {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Octets {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Octets {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
