"""The page of one run. `RunPage` is all that the window needs; the other rooms are its parts.

words       what is said in each state, without widgets
schedule    the learning rate to come; facts: resolved settings and predicted memory, read in a thread
actions     what can be done, as QActions; header, banner, progress: the top of the page
charts      curves; health_box: health and latest sample; samples_tab, events_tab, config_tab, files_tab
"""

from desktop_ft.ui.run_page.page import RunPage as RunPage
