//! Why the program cannot start, or did not end well.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use crate::client::ClientError;
use crate::database::{DatabaseError, OpenError};
use crate::fhir::store::interface::StoreError;
use crate::mapping::Problem;
use crate::mapping_store::MappingError;
use crate::sources::mqtt_listener::ListenError;
use crate::sources::mqtt_listener::access::AccessError;
use crate::sources::mqtt_listener::tls::ServerTlsError;
use crate::sources::tls::TlsError;
use crate::telemetry::chain;

/// Why the program cannot start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// Addresses that strangers can reach.
    #[error(
        "`{key}` is {address}, which other machines can reach, and there is no authentication yet; use a loopback address, \
         or start with --insecure-no-auth if the network itself keeps strangers out"
    )]
    Exposed {
        /// The key that names the address.
        key: String,
        /// The address.
        address: SocketAddr,
    },
    /// An MQTT listener that strangers can reach.
    #[error(
        "`listen` of the MQTT listener of connector `{connector}` is {address}, which other machines can reach; let devices \
         in only over `tls` and with a `password_file` or `tls.client_ca_file`, use a loopback address, or start with \
         --insecure-no-auth if the network itself keeps strangers out"
    )]
    ExposedListener {
        /// Name of the connector.
        connector: String,
        /// The address.
        address: SocketAddr,
    },
    /// Certificates of an MQTT listener.
    #[error("connector `{connector}`: its MQTT listener cannot encrypt; check `tls`")]
    MqttListenerTls {
        /// Name of the connector.
        connector: String,
        /// Why.
        #[source]
        cause: ServerTlsError,
    },
    /// Files that say which devices an MQTT listener lets in.
    #[error("connector `{connector}`: it is not known whom its MQTT listener lets in")]
    MqttAccess {
        /// Name of the connector.
        connector: String,
        /// Which file or line, and how to mend it.
        #[source]
        cause: AccessError,
    },
    /// Mapping files that cannot be used; each problem a line.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mappings(Vec<Problem>),
    /// A mapping file that cannot be read.
    #[error("connector `{connector}`: cannot read the mapping {path}")]
    MappingFile {
        /// Name of the connector.
        connector: String,
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Database(OpenError),
    /// The database opened but the resources in it cannot be read.
    #[error("the stored resources cannot be read")]
    Store(#[source] StoreError),
    /// The database opened but the ledgers in it cannot be read.
    #[error("the stored ledgers cannot be read")]
    Ledger(#[source] DatabaseError),
    /// The HTTP address cannot be bound.
    #[error("cannot serve HTTP on {address} (`http.listen`, or `--listen`){}", hint(.cause))]
    HttpAddress {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The MQTT address cannot be bound.
    #[error("connector `{connector}`: the address of its MQTT listener cannot be used{}", hint(&.cause.source))]
    MqttAddress {
        /// Name of the connector.
        connector: String,
        /// Which address, and what the system said.
        #[source]
        cause: ListenError,
    },
    /// The connection to a broker cannot be encrypted.
    #[error("connector `{connector}`: no encrypted connection to its MQTT broker")]
    MqttTls {
        /// Name of the connector.
        connector: String,
        /// Why.
        #[source]
        cause: TlsError,
    },
    /// No client for the token endpoint of a Kafka source.
    #[error("connector `{connector}`: no client for the token endpoint of its Kafka source")]
    Tokens {
        /// Name of the connector.
        connector: String,
        /// Why.
        #[source]
        cause: ClientError,
    },
    /// The port of an MQTT address is taken by a connector of this process.
    #[error(
        "connector `{connector}`: cannot listen on {address} while `{holder}` listens on {held}, and a reload binds new \
         addresses before it closes old ones; use another port, restart, or reload twice, without the listener at first"
    )]
    PortHeld {
        /// Name of the connector.
        connector: String,
        /// The address asked for.
        address: SocketAddr,
        /// Name of the connector that has the port.
        holder: String,
        /// The address that it listens on.
        held: SocketAddr,
    },
    /// No client for the FHIR server of a connector.
    #[error("connector `{connector}`: no client for its FHIR server")]
    Client {
        /// Name of the connector.
        connector: String,
        /// Why.
        #[source]
        cause: ClientError,
    },
    /// The grace period ended first.
    #[error(
        "not everything under way was stored within {} s (`shutdown.grace`); what was not is unacknowledged, and its \
         sender will offer it again",
        grace.as_secs_f32()
    )]
    NotDrained {
        /// The grace period.
        grace: Duration,
    },
}

impl AppError {
    /// Why the mappings of a connector cannot be used.
    pub(super) fn mappings(connector: &str, error: MappingError) -> Self {
        match error {
            MappingError::Problems(problems) => Self::Mappings(problems),
            MappingError::Unreadable { path, cause } => {
                Self::MappingFile { connector: connector.to_owned(), path, cause }
            }
        }
    }

    /// All that is wrong, each as a text of its own.
    pub(super) fn problems(&self) -> Vec<String> {
        if let Self::Mappings(problems) = self {
            return problems.iter().map(ToString::to_string).collect();
        }
        vec![chain(self)]
    }

    /// Whether the configuration or a mapping is at fault.
    pub(crate) fn is_configuration(&self) -> bool {
        match self {
            Self::Exposed { .. }
            | Self::ExposedListener { .. }
            | Self::MqttListenerTls { .. }
            | Self::MqttAccess { .. }
            | Self::Mappings(_)
            | Self::MappingFile { .. }
            | Self::MqttTls { .. }
            | Self::Client { .. }
            | Self::Tokens { .. } => true,
            Self::Database(_)
            | Self::Store(_)
            | Self::Ledger(_)
            | Self::HttpAddress { .. }
            | Self::MqttAddress { .. }
            | Self::PortHeld { .. }
            | Self::NotDrained { .. } => false,
        }
    }
}

fn hint(cause: &std::io::Error) -> &'static str {
    let hints = [
        (ErrorKind::AddrInUse, ": the port is in use; stop the program that uses it, or choose another port"),
        (ErrorKind::PermissionDenied, ": ports below 1024 are for root; choose another port"),
        (ErrorKind::AddrNotAvailable, ": this machine has no such address"),
    ];
    hints.iter().find_map(|(kind, hint)| (*kind == cause.kind()).then_some(*hint)).unwrap_or_default()
}
