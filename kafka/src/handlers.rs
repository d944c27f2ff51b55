//! One file per API: a request becomes commands, their replies become the response.
//!
//! Owns: dispatch.
//! Never: keeps anything between requests.
//! Invariants: every element of a request is answered, found or not, in the order asked for.
//! Source: kafka.md section 4.

mod alter_configs;
mod api_versions;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;
#[cfg(test)]
mod tests;
mod values;

use api::SessionError;

pub(crate) use self::produce::Appends;
use crate::frame::Request;
use crate::gather::{Call, Response, Step, in_turn};
use crate::versions::ApiKey;

/// Milliseconds a metadata change may take whose request has no timeout. Half of the client's default
/// request timeout, so that the client hears the outcome.
const ADMIN_TIMEOUT_MS: i32 = 15_000;

/// Begins to answer a request.
///
/// # Errors
/// Its body is malformed: the connection is to be closed.
pub(crate) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    match request.header.api.key {
        ApiKey::Produce => produce::start(call, request),
        ApiKey::Fetch => fetch::start(call, request),
        ApiKey::ListOffsets => list_offsets::start(call, request),
        ApiKey::Metadata => in_turn(call, request, metadata::start),
        ApiKey::OffsetCommit => offset_commit::start(call, request),
        ApiKey::OffsetFetch => in_turn(call, request, offset_fetch::start),
        ApiKey::FindCoordinator => find_coordinator::start(call, request),
        ApiKey::JoinGroup => join_group::start(call, request),
        ApiKey::Heartbeat => heartbeat::start(call, request),
        ApiKey::LeaveGroup => leave_group::start(call, request),
        ApiKey::SyncGroup => sync_group::start(call, request),
        ApiKey::DescribeGroups => in_turn(call, request, describe_groups::start),
        ApiKey::ListGroups => in_turn(call, request, list_groups::start),
        ApiKey::ApiVersions => api_versions::start(call, request),
        ApiKey::CreateTopics => in_turn(call, request, create_topics::start),
        ApiKey::DeleteTopics => delete_topics::start(call, request),
        ApiKey::DeleteRecords => delete_records::start(call, request),
        ApiKey::InitProducerId => init_producer_id::start(call, request),
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch::start(call, request),
        ApiKey::DescribeConfigs => in_turn(call, request, describe_configs::start),
        ApiKey::AlterConfigs => alter_configs::start(call, request),
        ApiKey::CreatePartitions => create_partitions::start(call, request),
        ApiKey::DeleteGroups => delete_groups::start(call, request),
        ApiKey::IncrementalAlterConfigs => incremental_alter_configs::start(call, request),
        ApiKey::OffsetDelete => offset_delete::start(call, request),
        ApiKey::DescribeCluster => describe_cluster::start(call, request),
    }
}

/// The answer to `ApiVersions` of a version above ours.
///
/// # Errors
/// The response could not be written.
pub(crate) fn refuse_api_versions(correlation: i32) -> Result<Response, SessionError> {
    api_versions::refuse(correlation)
}
