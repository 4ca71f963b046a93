//! Nodes and jobs.

use app::{
    nodes::NodePage,
    ports::{Answer, JobsPort, NodesPort},
    ui::ActedView,
};
use async_trait::async_trait;
use domain::{
    access::Principal,
    id::{JobId, NodeId, ProviderId},
    job::{JobView, Subject},
    list::{Filter, Listing},
    node::{AcquireOptions, NodeAccepted, NodeCreate, NodeDestroy, NodeExec, NodeUpgrade, NodeView},
};
use serde_json::json;

use super::{Backend, acted, acted_on, answer};

#[async_trait]
impl NodesPort for Backend {
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<NodeView>> {
        answer(self.services.nodes_page(who, filter).await)
    }

    async fn show(&self, who: &Principal, id: NodeId) -> Answer<NodePage> {
        let subject = Subject::new("node", &id);
        let node = answer(self.services.node_show(who, &id).await)?;
        let jobs = answer(self.services.jobs_of(who, &subject).await)?;
        let history = answer(self.services.history(who, &subject, Filter::default()).await)?.items;
        Ok(NodePage { node, jobs, history })
    }

    async fn acquire_options(&self, who: &Principal, provider: Option<ProviderId>) -> Answer<AcquireOptions> {
        answer(self.services.acquire_options(who, provider).await)
    }

    async fn acquire(&self, who: &Principal, wish: NodeCreate) -> Answer<NodeAccepted> {
        answer(self.services.node_acquire(who, wish, None).await)
    }

    async fn act(&self, who: &Principal, id: NodeId, identity: String) -> Answer<ActedView> {
        acted(self.services.node_act(who, &id, &identity, json!({})).await)
    }

    async fn destroy(&self, who: &Principal, id: NodeId, wish: NodeDestroy) -> Answer<ActedView> {
        acted(self.services.node_act(who, &id, "destroy-node", json!(wish)).await)
    }

    async fn upgrade(&self, who: &Principal, id: NodeId, wish: NodeUpgrade) -> Answer<ActedView> {
        acted(self.services.node_act(who, &id, "upgrade-node", json!(wish)).await)
    }

    async fn exec(&self, who: &Principal, id: NodeId, wish: NodeExec) -> Answer<ActedView> {
        acted(self.services.node_act(who, &id, "exec-command", json!(wish)).await)
    }
}

#[async_trait]
impl JobsPort for Backend {
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<JobView>> {
        answer(self.services.jobs_page(who, filter).await)
    }

    async fn show(&self, who: &Principal, id: JobId) -> Answer<JobView> {
        answer(self.services.job_show(who, &id).await)
    }

    async fn act(&self, who: &Principal, id: JobId, identity: String) -> Answer<ActedView> {
        acted_on(self.services.job_act(who, &id, &identity).await)
    }
}
