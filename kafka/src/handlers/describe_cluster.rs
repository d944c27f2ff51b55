//! `DescribeCluster` (60).
//!
//! Owns: which endpoint types exist here.
//! Never: lists topics.
//! Invariants: the broker list is never empty.
//! Source: kafka.md 4.6; KIP-700, KIP-919 (1), KIP-1073 (2).

use api::metadata::{MetadataView, TopicFilter};
use api::{Command, Reply, SessionError};

use super::values;
use crate::codec::message::describe_cluster_response::DescribeClusterBroker;
use crate::codec::message::{DescribeClusterRequest, DescribeClusterResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::Code;
use crate::frame::Request;
use crate::gather::{self, Call, Response, Step};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: DescribeClusterRequest = call.decode(request)?;
    let operations = if body.include_cluster_authorized_operations {
        values::OPERATIONS_CLUSTER
    } else {
        values::OPERATIONS_NOT_ASKED
    };
    if body.endpoint_type != BROKERS {
        return refuse(call, body.endpoint_type).map(Step::Done);
    }
    let topics = TopicFilter::These(Vec::new());
    let command = Command::Metadata {
        topics,
        auto_create: false,
    };
    Ok(gather::ask(call, command, move |call, reply| {
        let Reply::Metadata(view) = reply else {
            return Err(call.unexpected());
        };
        respond(call, view, operations)
    }))
}

fn refuse(call: &mut Call<'_>, endpoint_type: i8) -> Result<Response, SessionError> {
    let (code, message) = if endpoint_type == CONTROLLERS {
        (
            Code::MismatchedEndpointType,
            "this is a broker, not a controller",
        )
    } else {
        (Code::UnsupportedEndpointType, "endpoint type is unknown")
    };
    call.respond(&build!(DescribeClusterResponse {
        error_code: code.to_wire(),
        error_message: Some(StrBytes::from(message)),
        endpoint_type,
    }))
}

fn respond(
    call: &mut Call<'_>,
    view: MetadataView,
    operations: i32,
) -> Result<Response, SessionError> {
    let brokers = view.brokers.into_iter().map(|broker| {
        build!(DescribeClusterBroker {
            broker_id: values::wire_broker(broker.id),
            host: StrBytes::from(broker.host),
            port: broker.port.into(),
            rack: broker.rack.map(StrBytes::from),
        })
    });
    call.respond(&build!(DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: StrBytes::from(view.cluster_id),
        controller_id: values::wire_broker(view.controller),
        brokers: brokers.collect(),
        cluster_authorized_operations: operations,
    }))
}
