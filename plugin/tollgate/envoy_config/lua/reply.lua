-- Change replies in native mode.
--
-- `held`: headers for the client, unless ext_proc has already set them with settled values.
-- `hide`: remove the event with usage, which only Tollgate asked for, from the stream.
local function is_hidden(event)
  return event:find('"choices"%s*:%s*%[%s*%]') and event:find('"usage"%s*:%s*{')
end

-- The hidden event is a few hundred bytes long, so anything longer need not be held back.
local function may_become_hidden(rest)
  local size = #rest
  if size > 16384 then return false end
  return rest:sub(1, 7) == ("data: {"):sub(1, size) or rest:sub(1, 6) == ("data:{"):sub(1, size)
end

-- Return the complete events of a text without the hidden one, and an incomplete last event.
-- An incomplete event that cannot become the hidden one passes. One that could is lost if the stream
-- ends there, as SSE defines it: an event ends with an empty line.
local function shown(text)
  if text:sub(-2) == "\n\n" and not is_hidden(text) then return text, "" end
  local kept, from = {}, 1
  while true do
    local first, last = text:find("\r?\n\r?\n", from)
    if not first then break end
    local event = text:sub(from, last)
    if not is_hidden(event) then kept[#kept + 1] = event end
    from = last + 1
  end
  local rest = text:sub(from)
  if may_become_hidden(rest) then return table.concat(kept), rest end
  kept[#kept + 1] = rest
  return table.concat(kept), ""
end

local function hide(handle)
  local kept, rest = "", ""
  for chunk in handle:bodyChunks() do
    local came = chunk:getBytes(0, chunk:length())
    kept, rest = shown(rest .. came)
    if kept ~= came then chunk:setBytes(kept) end
  end
  -- Envoy's own filter ignores a last event without an empty line after it.
  local told = rest:match("^data:%s*({.*)")
  if told and told:find('"usage"%s*:%s*{') then
    handle:streamInfo():dynamicMetadata():set("$USAGE_NAMESPACE", "$UNFINISHED_EVENT", told)
  end
end

function envoy_on_response(handle)
  local said = handle:streamInfo():dynamicMetadata():get("$AUTHZ_FILTER")
  if not said then return end
  local headers = handle:headers()
  if said["$HELD"] then
    for name, value in said["$HELD"]:gmatch("([^=;]+)=([^;]*);") do
      if not headers:get(name) then headers:add(name, value) end
    end
    return
  end
  local is_stream = (headers:get("content-type") or ""):find("^text/event%-stream")
  if said["$HIDE"] and is_stream and not headers:get("content-encoding") then
    headers:remove("content-length")
    hide(handle)
  end
end
