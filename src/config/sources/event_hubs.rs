//! The connection string of Azure Event Hubs, which says all that a Kafka client must know
//! (<https://learn.microsoft.com/azure/event-hubs/event-hubs-get-connection-string>).

/// Port of the Kafka endpoint of a namespace.
const PORT: u16 = 9093;
/// Port of the Kafka endpoint of the emulator, which is not encrypted.
const EMULATOR_PORT: u16 = 9092;
/// Last part of the names of namespaces, in any of Azure's clouds.
const NAMESPACE: &str = ".servicebus.";

/// What a connection string says besides the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnectionString {
    /// Host and port of the Kafka endpoint.
    pub(super) bootstrap_servers: String,
    /// The event hub, if it names one.
    pub(super) event_hub: Option<String>,
    /// It is that of the emulator, which has no TLS.
    pub(super) is_emulator: bool,
}

/// Reads a connection string.
///
/// # Errors
/// What is missing in it. The string itself is a secret and never in the message.
pub(super) fn parse(text: &str) -> Result<ConnectionString, String> {
    let parts = || text.split(';').filter_map(|part| part.trim().split_once('='));
    let value = |name: &str| parts().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    let needed = |name: &str| {
        let missing = || format!("has no `{name}=`; copy the whole connection string from the shared access policy");
        value(name).filter(|value| !value.is_empty()).ok_or_else(missing)
    };
    let endpoint = needed("Endpoint")?;
    let host = endpoint.strip_prefix("sb://").map(|rest| rest.trim_end_matches('/')).filter(|host| !host.is_empty());
    let host = host.ok_or("has an `Endpoint` that does not read sb://<namespace>.servicebus.windows.net/")?;
    needed("SharedAccessKeyName")?;
    needed("SharedAccessKey")?;
    let is_emulator = value("UseDevelopmentEmulator").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let port = if is_emulator { EMULATOR_PORT } else { PORT };
    // Those of the AMQP endpoint, where a port is given.
    let host = host.rsplit_once(':').map_or(host, |(host, _port)| host);
    Ok(ConnectionString {
        bootstrap_servers: format!("{host}:{port}"),
        event_hub: value("EntityPath").filter(|name| !name.is_empty()).map(str::to_owned),
        is_emulator,
    })
}

/// Whether these brokers are those of a namespace of Event Hubs.
pub(super) fn is_namespace(bootstrap_servers: &str) -> bool {
    bootstrap_servers.to_ascii_lowercase().contains(NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::{ConnectionString, parse};

    #[test]
    fn a_connection_string_names_endpoint_and_hub() {
        let text = "Endpoint=sb://ward.servicebus.windows.net/;SharedAccessKeyName=read;SharedAccessKey=a+b/c=;EntityPath=devicedata";
        let expected = ConnectionString {
            bootstrap_servers: "ward.servicebus.windows.net:9093".to_owned(),
            event_hub: Some("devicedata".to_owned()),
            is_emulator: false,
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn the_emulator_is_not_encrypted() {
        let text = "Endpoint=sb://localhost:5672;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true;";
        let expected =
            ConnectionString { bootstrap_servers: "localhost:9092".to_owned(), event_hub: None, is_emulator: true };
        assert_eq!(parse(text), Ok(expected));
    }

    #[track_caller]
    fn check_problem(text: &str, expected: &str) {
        let problem = parse(text).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn what_is_missing_is_named_and_the_secret_is_not() {
        check_problem("hunter2", "no `Endpoint=`");
        check_problem("Endpoint=https://a/;SharedAccessKeyName=a;SharedAccessKey=hunter2", "sb://");
        check_problem("Endpoint=sb://a/;SharedAccessKey=hunter2", "no `SharedAccessKeyName=`");
        check_problem("Endpoint=sb://a/;SharedAccessKeyName=hunter2", "no `SharedAccessKey=`");
    }
}
