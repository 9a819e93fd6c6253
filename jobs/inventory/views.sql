-- The interface layer: amounts in whole units of money.
create view stock_by_location as
select l.location_id, l.location_name, i.product_id, i.quantity, i.utilisation, i.score, i.no_score_reason,
       i.days_of_supply, i.restock_quantity, i.overstock_quantity, i.value_cents / 100 as value
from inventory_analytics i left join warehouse_utilisation l using (location_id);

create view best_customers as
select customer_id, orders, spending_cents / 100 as spent, mean_order_cents / 100 as mean_order,
       median_days_between, peak_hour, frequency, spending, is_vip
from order_analytics where orders > 0 order by spending_cents desc, customer_id;

create view product_insights as
select product_id, product_name, category, abc_class, stock_quantity, restock_quantity, overstock_quantity,
       revenue_cents / 100 as revenue, vip_revenue_cents / 100 as vip_revenue, turnover, days_of_supply
from business_insights order by revenue_cents desc, product_id;
