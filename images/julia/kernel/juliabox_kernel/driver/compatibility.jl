# Packages that adapt to a notebook look for `Main.IJulia`; this answers what they ask there.

"""What packages expect of a notebook's kernel: `IJulia.clear_output`, its hooks, its cells."""
module IJulia

import ..JuliaBoxKernel: clear_output

const inited = true
const In = Dict{Int,String}()   # the cells that were run, by number
const preexecute_hooks = Function[]
const postexecute_hooks = Function[]
const posterror_hooks = Function[]

push_preexecute_hook(hook::Function) = push!(preexecute_hooks, hook)
push_postexecute_hook(hook::Function) = push!(postexecute_hooks, hook)
push_posterror_hook(hook::Function) = push!(posterror_hooks, hook)
pop_preexecute_hook(hook::Function) = filter!(known -> known !== hook, preexecute_hooks)
pop_postexecute_hook(hook::Function) = filter!(known -> known !== hook, postexecute_hooks)
pop_posterror_hook(hook::Function) = filter!(known -> known !== hook, posterror_hooks)

end

run_hooks(hooks) = foreach(hook -> invokelatest(hook), hooks)
