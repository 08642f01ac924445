-- Applies the byte edits that Tollgate left in dynamic metadata: {offset, delete, insert}, offsets into the body as it came,
-- ascending and not overlapping. Every other byte stays as the client sent it; Envoy's JSON filters would re-serialise the body.
function envoy_on_request(handle)
  local said = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.ext_authz")
  local edits = said and said["edits"]
  if not edits or #edits == 0 then return end
  local body = handle:body()
  if not body then return end
  local before, pieces, from = body:getBytes(0, body:length()), {}, 1
  for _, edit in ipairs(edits) do
    pieces[#pieces + 1] = before:sub(from, edit.offset)
    pieces[#pieces + 1] = edit.insert
    from = edit.offset + edit.delete + 1
  end
  pieces[#pieces + 1] = before:sub(from)
  body:setBytes(table.concat(pieces))
end
