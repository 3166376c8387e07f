-- A script for wrk. It posts signed deliveries one after the other. The argument is the file that contains them.

local requests, turn = {}, 0

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    local text = file:read("*a")
    file:close()
    local from = 1
    while from <= #text do
        local _, head_end = text:find("\r\n\r\n", from, true)
        local length = tonumber(text:sub(from, head_end):match("content%-length: (%d+)"))
        table.insert(requests, text:sub(from, head_end + length))
        from = head_end + length + 1
    end
end

function request()
    turn = turn % #requests + 1
    return requests[turn]
end

function done(summary)
    local failed = summary.errors
    io.write("requests: ", summary.requests, "\nseconds: ", summary.duration / 1e6, "\n")
    io.write("failed: ", failed.status + failed.connect + failed.read + failed.write + failed.timeout, "\n")
end
