//! A real Mosquitto with its default settings, on a port of its own.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::wait::until;

/// A running broker, killed when dropped.
pub(crate) struct Mosquitto {
    child: Child,
    /// Its port on the loopback address.
    pub(crate) port: u16,
}

impl Mosquitto {
    /// Starts a broker whose settings are the defaults but for the port, and for keeping its sessions in `directory`.
    /// `more` is added to its configuration.
    pub(crate) async fn start(directory: &Path, more: &str) -> Self {
        Self::start_on(free_port(), directory, more).await
    }

    /// Starts a broker on a given port.
    pub(crate) async fn start_on(port: u16, directory: &Path, more: &str) -> Self {
        let config = directory.join("mosquitto.conf");
        let directory = directory.display();
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {directory}/\n{more}\n"
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program())
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto must be installed; scripts/test does it");
        let connects = async || TcpStream::connect(("127.0.0.1", port)).is_ok();
        until(Duration::from_secs(10), connects, |connected| *connected).await;
        Self { child, port }
    }

    /// Ends the broker in an orderly way, so that it writes its sessions down.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Both fail when the broker has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Debian keeps the broker where only root's search path looks.
fn program() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}

/// A port nobody uses now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
