//! What the causes of a consumer application's anomalies are looked up in.

use acklab_vocab::config::GroupLibrary;
use acklab_vocab::ids::NodeId;
use acklab_vocab::trace::GroupHeader;

use crate::groups::Groups;
use crate::groups::application::Member;
use crate::groups::coordination::OffsetTrack;
use crate::groups::reading::Reading;

/// One application's way through one partition, and its group's committed offset of it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// All groups.
    pub groups: &'a Groups,
    /// Index of the application.
    pub application: usize,
    /// What the application is.
    pub header: &'a GroupHeader,
    /// Its way.
    pub reading: &'a Reading,
    /// The committed offset.
    pub track: &'a OffsetTrack,
}

impl Scope<'_> {
    /// What is known of a process.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.groups.members.get(usize::from(node.0))
    }

    /// Its consumers share partitions out by ZooKeeper.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        matches!(self.header.library, GroupLibrary::Balanced(_))
    }

    /// Whether a process belongs to another application, which shares the group.
    #[must_use]
    pub fn is_of_other_application(&self, node: NodeId) -> bool {
        self.member(node).and_then(|member| member.application) != Some(self.application)
    }
}
