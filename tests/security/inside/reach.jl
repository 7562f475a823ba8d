# Which of some addresses a published function reaches, and what it finds in its container.

using Sockets

function reach(targets::Vector)
    open_ones = Channel{Any}(length(targets) + 1)
    @sync for (address, port) in targets
        @async begin
            done = Ref(false)
            task = @async try
                close(connect(parse(IPAddr, address), port))
                done[] || put!(open_ones, [address, port])
            catch
            end
            timedwait(() -> istaskdone(task), 4.0)
            done[] = true
        end
    end
    close(open_ones)
    collect(open_ones)
end

who() = gethostname()
names() = sort([name for name in keys(ENV)])
home() = isdir("/home/juser") ? readdir("/home/juser") : String[]
places() = [split(line)[5] for line in eachline("/proc/self/mountinfo")]

# folders in which it may make a file
function writable()
    found = String[]
    for folder in ("/", "/bin", "/etc", "/home", "/home/juser", "/opt", "/root", "/srv", "/usr", "/var",
                   "/var/tmp", "/run", "/sys", "/proc", "/dev", "/tmp", "/dev/shm")
        try
            path = joinpath(folder, "written")
            write(path, "x")
            rm(path)
            push!(found, folder)
        catch
        end
    end
    found
end

# the error of each way to take what the kernel counts for a user, over all containers
function counted()
    timer = Ref{Ptr{Cvoid}}()
    ways = [
        () -> ccall(:inotify_init1, Cint, (Cint,), 0),
        () -> ccall(:timer_create, Cint, (Cint, Ptr{Cvoid}, Ref{Ptr{Cvoid}}), 1, C_NULL, timer),
        () -> ccall(:mq_open, Cint, (Cstring, Cint, Cuint, Ptr{Cvoid}), "/queue", 66, 0o600, C_NULL),
    ]
    [way() < 0 ? Libc.errno() : 0 for way in ways]
end
