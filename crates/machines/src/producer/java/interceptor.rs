//! The seam where `ProducerInterceptor.onSend` would change a record before it is partitioned.
//!
//! acklab runs no code of an application inside the client, so nothing is changed.
//! `onAcknowledgement` is the report of completion, which the application gets anyway.

use crate::producer::NewRecord;

/// What the interceptors make of a record (`ProducerInterceptors.onSend`).
pub(super) const fn on_send(record: &NewRecord) -> &NewRecord {
    record
}
