//! An ordering plugin in a crate of its own: the highest tip goes first. The test beside it builds it outside of the workspace.

use ordo_sdk::tonic::{async_trait, service::Routes, Request, Response, Status};
use ordo_sdk::v1::ordering_server::{Ordering, OrderingServer};
use ordo_sdk::v1::plugin_server::{Plugin, PluginServer};
use ordo_sdk::v1::{diagnostic::Severity, ConfigureRequest, ConfigureResponse, DescribeRequest, DescribeResponse};
use ordo_sdk::v1::{Diagnostic, DrainRequest, DrainResponse, ScoreRequest, ScoreResponse, Stage};

struct Tip;

#[async_trait]
impl Plugin for Tip {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        Ok(Response::new(DescribeResponse {
            name: "tip-rust".into(),
            version: "0.1.0".into(),
            stage: Stage::Ordering.into(),
            ..Default::default()
        }))
    }

    async fn configure(&self, request: Request<ConfigureRequest>) -> Result<Response<ConfigureResponse>, Status> {
        let config = request.into_inner().config;
        let mut answer = ConfigureResponse::default();
        if !matches!(&*config, [] | [b'{', b'}']) {
            answer.diagnostics.push(Diagnostic {
                severity: Severity::Error.into(),
                summary: "this plugin takes no configuration".into(),
                detail: "remove it".into(),
                ..Default::default()
            });
        }
        Ok(Response::new(answer))
    }

    async fn drain(&self, _: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        Ok(Response::new(DrainResponse::default()))
    }
}

#[async_trait]
impl Ordering for Tip {
    async fn score(&self, request: Request<ScoreRequest>) -> Result<Response<ScoreResponse>, Status> {
        let hi = request.into_inner().transactions.iter().map(|transaction| transaction.tip).collect();
        Ok(Response::new(ScoreResponse { hi, generation: 1, ..Default::default() }))
    }
}

fn main() -> std::process::ExitCode {
    ordo_sdk::serve(|_host| {
        Routes::new(PluginServer::new(Tip).max_decoding_message_size(ordo_sdk::MAX_MESSAGE))
            .add_service(OrderingServer::new(Tip).max_decoding_message_size(ordo_sdk::MAX_MESSAGE))
    })
}
