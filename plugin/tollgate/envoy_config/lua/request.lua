-- Applies what Tollgate left in dynamic metadata. `edits`: splices of the body, each `offset,delete,insert;` with the bytes to insert
-- in hexadecimal, offsets into the body as it came, ascending and not overlapping. Every other byte stays as the client sent it;
-- Envoy's JSON filters would re-serialise the body. `target`: the path and query to ask for (ext_authz over HTTP cannot set them).
-- The work here is calls into Envoy: with LuaJIT's compiler on, a request costs 5 to 10 us more.
jit.off()
function envoy_on_request(handle)
  local said = handle:streamInfo():dynamicMetadata():get("@AUTHZ_FILTER@")
  if not said then return end
  if said["@TARGET@"] then handle:headers():replace(":path", said["@TARGET@"]) end
  local edits = said["@EDITS@"]
  local body = edits and handle:body()
  if not body then return end
  local before, pieces, from = body:getBytes(0, body:length()), {}, 1
  for offset, delete, insert in edits:gmatch("(%d+),(%d+),(%x*);") do
    pieces[#pieces + 1] = before:sub(from, offset)
    pieces[#pieces + 1] = insert:gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end)
    from = offset + delete + 1
  end
  pieces[#pieces + 1] = before:sub(from)
  body:setBytes(table.concat(pieces))
end
