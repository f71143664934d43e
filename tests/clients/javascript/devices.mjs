// A device on MQTT.js: lets itself in, publishes what it may, and is told what it may not.
//
// Arguments: the URLs of the MQTT listener over TCP and over WebSocket. Its user is `monitor` with the password `secret`,
// and may publish to `devices/monitor/#`.

import assert from "node:assert/strict";
import { once } from "node:events";
import mqtt from "mqtt";

const VERSIONS = { "3.1.1": 4, 5: 5 };
let second = 0;

// A reading that no other message has.
function reading() {
  second += 1;
  const at = `2024-03-02T07:15:${String(second).padStart(2, "0")}Z`;
  return JSON.stringify({ deviceid: "mqtt.js", patientid: "p-1", measurementdatetime: at, heartrate: 61 });
}

const options = (version, password) => ({
  protocolVersion: VERSIONS[version], clientId: `js-${version}`, username: "monitor", password, reconnectPeriod: 0,
});

async function check(version, url) {
  const device = await mqtt.connectAsync(url, options(version, "secret"));
  // MQTT 5 clients are told that QoS 2 is not offered.
  for (const qos of version === "5" ? [0, 1] : [0, 1, 2]) {
    await device.publishAsync("devices/monitor/pulse", reading(), { qos });
  }
  if (version === "5") {
    await assert.rejects(device.publishAsync("devices/pump/pulse", reading(), { qos: 1 }), { code: 0x87 });
    await device.endAsync();
  } else {
    const closed = once(device, "close");
    device.publish("devices/pump/pulse", reading(), { qos: 1 });
    await closed;
    await device.endAsync(true);
  }
  const code = version === "5" ? 0x86 : 4;
  await assert.rejects(mqtt.connectAsync(url, options(version, "guess"), false), { code });
}

for (const version of Object.keys(VERSIONS)) {
  for (const url of process.argv.slice(2)) await check(version, url);
}
console.log(second);
