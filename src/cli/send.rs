//! `vitalwire send`: publishes the messages of a file, as devices would.

use std::num::NonZeroU32;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::{Failure, say, stop_on_signal};
use crate::send::{self, Repeat, SendError, SendOptions};
use crate::telemetry::chain;

/// Where messages may be sent.
const TARGETS: &str = "\
Where to, as a URL.

mqtt://[user:password@]host[:port]/topic[?version=5], and mqtts:// for TLS, with &ca_file=PATH for a certificate authority of \
one's own, and &certificate_file=PATH&key_file=PATH for a broker that asks for a certificate

kafka://[user:password@]host[:port]/topic[?key=/deviceid], and kafka+ssl:// for TLS, with &ca_file=PATH for a certificate \
authority of one's own; key is a JSON Pointer to the text that keeps the messages of a device in one partition

http://[:token@]host[:port]/connectors/NAME/messages, or https://";

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Messages: one JSON value a line (NDJSON), or one JSON array; `-` is standard input, read to its end
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to, as a URL
    #[arg(long, value_name = "URL", long_help = TARGETS)]
    to: String,
    /// Messages a second; without it as fast as they are acknowledged
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// Send the file over and over until Ctrl-C
    #[arg(long)]
    repeat: bool,
}

/// Sends until everything is acknowledged.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    stop_on_signal(&stop)?;
    let options = SendOptions {
        file: arguments.file,
        to: arguments.to,
        rate: arguments.rate,
        repeat: if arguments.repeat { Repeat::Forever } else { Repeat::Once },
        stop,
    };
    let report = send::send(options).await.map_err(|error| match error {
        SendError::Target(_) => Failure::Usage(chain(&error)),
        SendError::Replay(_)
        | SendError::Unencrypted { .. }
        | SendError::Unreachable { .. }
        | SendError::Lost { .. }
        | SendError::Refused { .. } => Failure::other(&error),
    })?;
    say(&report.to_string());
    Ok(())
}
