//! The HTTP server: the FHIR service, the surface for operators and the ways in for messages on one port.

mod activity;
mod connections;
mod refusals;
mod upload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::Layer as _;
use tower_http::normalize_path::NormalizePathLayer;
use tower_http::timeout::TimeoutLayer;
use url::Url;

use self::connections::ConnectionSettings;
use super::host_names::{HostNames, only_known};
use super::{AppError, Exposure};
use crate::admin::{self, AdminState};
use crate::clock::Clock;
use crate::config::{self, HttpConfig};
use crate::fhir::api;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::policies::{ConditionalDeletes, Versioning, VersioningPolicy};
use crate::fhir::api::reindexing;
use crate::fhir::api::state::{ApiSettings, ApiState};
use crate::fhir::store::interface::Store;
use crate::fhir::structure::Validation;
use crate::sources::http as push;
use crate::sources::http::Doors;

/// Largest head of a request over HTTP/2: above what the limits of the FHIR service can be set to for URLs and headers.
const HEAD_BYTES_MAX: u32 = 256 << 10;

/// A port that is bound, and what will be served on it.
pub(super) struct HttpServer {
    socket: TcpListener,
    address: SocketAddr,
    router: Router,
    /// For what the FHIR service does besides answering.
    fhir: ApiState,
    request_timeout: Duration,
    connections: ConnectionSettings,
    host_names: HostNames,
}

/// The versioning policies of the FHIR service.
pub(super) fn versioning(config: &config::Versioning) -> Versioning {
    let policy = |policy| match policy {
        config::VersioningPolicy::Versioned => VersioningPolicy::Versioned,
        config::VersioningPolicy::VersionedUpdate => VersioningPolicy::VersionedUpdate,
        config::VersioningPolicy::NoVersion => VersioningPolicy::NoVersion,
    };
    let of_types = config.of_types.iter().map(|(resource_type, own)| (*resource_type, policy(*own)));
    Versioning { default: policy(config.default), of_types: of_types.collect() }
}

impl HttpServer {
    /// Binds the port and prepares the FHIR service on `store`. At the end, requests under way get `grace` to finish.
    pub(super) async fn bind(
        config: &HttpConfig,
        grace: Duration,
        exposure: Exposure,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Self, AppError> {
        let failed = |cause| AppError::HttpAddress { address: config.listen, cause };
        let socket = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let settings = ApiSettings {
            base_url: config.fhir.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
            body_bytes_max: config.body_bytes_max,
            in_flight_bytes_max: config.in_flight_bytes_max,
            validation: match config.fhir.validation {
                config::Validation::Structure => Validation::Structure,
                config::Validation::Json => Validation::Json,
            },
            request_timeout: config.request_timeout,
            url_bytes_max: config.fhir.limits.url_bytes_max,
            header_bytes_max: config.fhir.limits.header_bytes_max,
            bundle_entries_max: config.fhir.limits.bundle_entries_max,
            page_size_max: config.fhir.limits.count_max,
            search_time_max: config.fhir.limits.search_time_max,
            cors_origins: config.fhir.cors_origins.iter().filter_map(|origin| origin.parse().ok()).collect(),
            conditional_deletes: match config.fhir.conditional_delete {
                config::ConditionalDelete::Single => ConditionalDeletes::Single,
                config::ConditionalDelete::Multiple => ConditionalDeletes::Multiple,
                config::ConditionalDelete::Refused => ConditionalDeletes::Refused,
            },
            versioning: versioning(&config.fhir.versioning),
            ..ApiSettings::default()
        };
        let fhir = ApiState::new(store, &clock, settings);
        let router = api::router(fhir.clone());
        let host_names = match exposure {
            Exposure::Loopback => HostNames::local(config.fhir.public_url.as_ref()),
            Exposure::InsecureNoAuth => HostNames::Any,
        };
        let connections = ConnectionSettings {
            connections_max: config.connections_max,
            idle_max: config.idle_timeout,
            head_bytes_max: HEAD_BYTES_MAX,
            grace,
        };
        Ok(Self { socket, address, router, fhir, request_timeout: config.request_timeout, connections, host_names })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The FHIR service, as a connector of this process reaches it.
    pub(super) fn fhir_url(&self) -> Url {
        let mut reachable = self.address;
        if reachable.ip().is_unspecified() {
            reachable.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        #[expect(clippy::expect_used, reason = "a socket address is a valid authority")]
        Url::parse(&format!("http://{reachable}/fhir")).expect("a URL made of a socket address")
    }

    /// Adds the surface for operators.
    pub(super) fn with_admin(mut self, state: AdminState) -> Self {
        // The FHIR service keeps its own time, to answer in its own format.
        let timeout = TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, self.request_timeout);
        self.router = self.router.merge(admin::router(state).layer(timeout));
        self
    }

    /// Adds the surface for those who send messages, which keeps its own time.
    pub(super) fn with_doors(mut self, doors: Doors) -> Self {
        self.router = self.router.merge(push::router(doors));
        self
    }

    /// Serves until `stop`, then finishes the requests under way.
    pub(super) async fn run(self, stop: CancellationToken) {
        tracing::info!(service = "http", address = %self.address, "listening");
        let router = self.router.fallback(nothing_here).layer(from_fn_with_state(self.host_names, only_known));
        // A slash at the end of a path means nothing; to see it first, this stands around the router.
        let slashes = NormalizePathLayer::trim_trailing_slash();
        let (service, full) = (slashes.layer(router), slashes.layer(Router::new().fallback(full)));
        let reindexing = reindexing::worker::work(self.fhir, stop.clone());
        tokio::join!(connections::serve(self.socket, service, full, self.connections, stop), reindexing);
    }
}

/// The answer to a path beside all services.
async fn nothing_here() -> ApiError {
    ApiError::new(Category::NotFound, "There is nothing under this path. The FHIR service is under `/fhir`.")
}

/// The answer to a connection over the bound.
async fn full() -> Response {
    let detail =
        "The server has as many connections as it may have. Try again later, and use connections for several requests.";
    let mut response = ApiError::new(Category::Unavailable, detail).into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
