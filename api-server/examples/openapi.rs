//! Prints `api-server/openapi.json`: `make generate` runs it.

fn main() {
    print!("{}", fastdeploy_api_server::api::openapi::json());
}
