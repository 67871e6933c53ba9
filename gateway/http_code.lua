-- Runs in front of the transcoder: sees requests before it and answers after it.

local function is_grpc(content_type)
  return content_type ~= nil and content_type:sub(1, 16) == "application/grpc"
end

-- HTTP allows names that gRPC's metadata do not, and gives no meaning to those that gRPC does: a service would answer 500.
local function is_foreign(name)
  return name:sub(1, 1) ~= ":" and (name:match("[^%w_.-]") or name:sub(1, 5) == "grpc-" or name:sub(-4) == "-bin")
end

-- The path of GET that HEAD is asked as, and the kind of its answer. Of a stream the task's status is asked, or who is
-- calling, which ends at once: whoever wants no content starts no watch and no export, and the type of that content is
-- left unsaid.
local function as_get(path)
  if path:match("^/api/v1/tasks:watch") then return "/api/v1/key", "stream" end
  local task, stream = path:match("^(/api/v1/status/[^/?]+)/(%a+)")
  if stream == "watch" or stream == "rejects" then return task, "stream" end
  return path, "message"
end

-- Files that Envoy has itself.
local function is_file(path)
  return path == "/api/v1/openapi.json" or path == "/api/v1/docs" or path == "/" or path:sub(1, 2) == "/?" or path:sub(1, 9) == "/console/"
end

-- Says who called by gRPC, so that Envoy's own errors stay gRPC for them (local_reply_config). Of a REST caller it takes
-- away the headers that a gRPC service cannot take.
function envoy_on_request(request)
  local headers = request:headers()
  if is_grpc(headers:get("content-type")) then
    request:streamInfo():dynamicMetadata():set("vectorline", "rest", false)
    return
  end
  request:streamInfo():dynamicMetadata():set("vectorline", "rest", true)
  local foreign = {}
  for name, _ in pairs(headers) do
    if is_foreign(name) then foreign[#foreign + 1] = name end
  end
  for _, name in ipairs(foreign) do headers:remove(name) end
  if headers:get(":method") == "HEAD" and not is_file(headers:get(":path")) then
    local path, kind = as_get(headers:get(":path"))
    headers:replace(":method", "GET")
    headers:replace(":path", path)
    request:streamInfo():dynamicMetadata():set("vectorline", "head", kind)
  end
end

-- The head of an answer without its content. (For HTTP/1.1 Envoy leaves that out by itself, for HTTP/2 it does not.)
local function without_content(response, kind)
  response:headers():remove("content-length")
  if kind == "stream" then response:headers():remove("content-type") end
  for chunk in response:bodyChunks() do
    chunk:setBytes("")
  end
end

-- A servicer names another HTTP status than 200, or than the 4xx that follows from its gRPC status (415 for 400), in its
-- initial metadata `x-http-code`. A gRPC caller always gets 200.
local function with_status(response)
  local headers = response:headers()
  local code = headers:get("x-http-code")
  headers:remove("x-http-code")
  if is_grpc(headers:get("content-type")) then
    return
  end
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  headers:remove("grpc-status-details-bin")
  headers:remove("grpc-accept-encoding")
  if code == nil or not code:match("^[2-5]%d%d$") then return end
  local status = headers:get(":status")
  if status ~= "200" and not (status:match("^4") and code:match("^4")) then return end
  headers:replace(":status", code)
  if code == "204" then
    headers:remove("content-type")
    headers:remove("content-length")
    local body = response:body() -- waits for it; what was taken from `response` before is no longer valid
    if body ~= nil then
      body:setBytes("")
    end
    response:headers():remove("content-length")
  end
end

function envoy_on_response(response)
  with_status(response)
  local known = response:streamInfo():dynamicMetadata():get("vectorline")
  if known and known["head"] then without_content(response, known["head"]) end
end
