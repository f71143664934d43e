//! What to do about what librdkafka complains of.

use rdkafka::error::RDKafkaErrorCode as Code;

/// Complaints, and how a person can mend them.
const MENDS: [(&[Code], &str); 10] = [
    (
        &[Code::AllBrokersDown, Code::BrokerTransportFailure, Code::Resolve],
        "; check `bootstrap_servers`, that a broker runs there, and whether it wants `tls`",
    ),
    (
        &[Code::Authentication, Code::SaslAuthenticationFailed],
        "; check `username` and `password`, `oauth2` or `connection_string`",
    ),
    (&[Code::UnsupportedSASLMechanism], "; choose another `sasl_mechanism`"),
    (&[Code::SSL], "; check `tls`: the authorities that are trusted, and the certificate that is shown"),
    (
        &[Code::UnknownTopic, Code::UnknownTopicOrPartition],
        "; check `topics`: one of them does not exist yet, or may not be seen",
    ),
    (&[Code::TopicAuthorizationFailed], "; who connects must be allowed to read the topics (Read, Describe)"),
    (&[Code::GroupAuthorizationFailed], "; who connects must be allowed to use the group (Read), or choose `group_id`"),
    (
        &[Code::InvalidSessionTimeout],
        "; `session_timeout` must be between group.min.session.timeout.ms and group.max.session.timeout.ms of the broker",
    ),
    (&[Code::FencedInstanceId], "; another consumer has this `group_instance_id`: each needs its own"),
    (
        &[Code::InconsistentGroupProtocol],
        "; other members of the group share out its partitions in another way: choose another `group_id`",
    ),
];

/// How a person can mend it, to be said behind the reason; empty when it passes by itself, or nobody can.
pub(super) fn mend(code: Code) -> &'static str {
    MENDS.iter().find(|(codes, _)| codes.contains(&code)).map_or("", |(_, mend)| mend)
}
